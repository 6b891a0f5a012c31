-- Why the planned offer suits the customer: the reason signal through which it lowers the risk the most.
with planned_actions as (

    select * from {{ ref('int_planned_actions') }}

),

signals as (

    select * from {{ ref('int_reason_signals') }}

),

offer_effects as (

    select * from {{ ref('offer_effects') }}

),

planned_signals as (

    {% for signal, words in signal_words().items() -%}
        select
            planned_actions.customer_id,
            planned_actions.as_of_date,
            planned_actions.planned_action,
            '{{ signal }}' as signal,
            '{{ words }}' as signal_words,
            signals.signal_{{ signal }} as strength
        from planned_actions
        inner join signals
            on planned_actions.customer_id = signals.customer_id
                and planned_actions.as_of_date = signals.as_of_date
        where planned_actions.planned_action <> 'no_action' and signals.signal_{{ signal }} > 0
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

ranked as (

    select
        planned_signals.*,
        row_number() over (
            partition by planned_signals.customer_id
            order by planned_signals.strength * offer_effects.effect_mean, planned_signals.signal
        ) as signal_rank
    from planned_signals
    inner join offer_effects
        on planned_signals.planned_action = offer_effects.offer and planned_signals.signal = offer_effects.signal
    where offer_effects.effect_mean < 0

),

arguments as (

    select
        cast(customer_id as varchar) as customer_id,
        cast(as_of_date as date) as as_of_date,
        cast(signal as varchar) as signal,
        cast('this offer helps customers ' || signal_words as varchar) as argument
    from ranked
    where signal_rank = 1

)

select * from arguments
