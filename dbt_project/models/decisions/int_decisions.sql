{{ config(materialized='table') }}

with planned_actions as (

    select * from {{ ref('int_planned_actions') }}

),

candidates as (

    select * from {{ ref('int_decision_candidates') }}

),

offer_effects as (

    select * from {{ ref('offer_effects') }}

),

offers as (

    select * from {{ ref('int_offers') }}

),

scores as (

    select * from {{ ref('churn_scores') }}

),

churn_reasons as (

    select * from {{ ref('int_churn_reasons') }}

),

reason_texts as (

    select * from {{ ref('reason_texts') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

-- A feature without a text is worded by its name.
reasons as (

    select
        churn_reasons.customer_id,
        {% for rank in [1, 2, 3] -%}
            max(
                case
                    when reason_rank = {{ rank }}
                        then coalesce(reason_texts.reason_text, replace(churn_reasons.feature, '_', ' '))
                end
            ) as reason_{{ rank }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from churn_reasons
    left join reason_texts on churn_reasons.feature = reason_texts.feature
    group by churn_reasons.customer_id

),

reductions as (

    select
        offer,
        {% for signal in reason_signals() -%}
            max(case when signal = '{{ signal }}' then least(effect_mean, 0) end) as reduction_{{ signal }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from offer_effects
    group by offer

),

combined as (

    select
        planned_actions.*,
        coalesce(offers.action_label, 'Leave alone') as action_label,
        scores.risk_tier,
        scores.risk_percentile,
        scores.pipeline_version,
        parameters.currency,
        parameters.horizon_days,
        {{ add_days('planned_actions.as_of_date', 1) }} as valid_from,
        {{ add_days('planned_actions.as_of_date', 'parameters.action_valid_days') }} as valid_to,
        {% for rank in [1, 2, 3] -%}
            case when planned_actions.planned_action <> 'no_action' then reasons.reason_{{ rank }} end
                as reason_{{ rank }},
        {% endfor -%}
        {% for signal in reason_signals() -%}
            coalesce(candidates.signal_{{ signal }} * reductions.reduction_{{ signal }}, 0)
                as reduction_{{ signal }},
        {% endfor -%}
        case
            when planned_actions.action <> 'no_action'
                then
                    row_number() over (
                        partition by planned_actions.action <> 'no_action'
                        order by planned_actions.incremental_expected_value desc, planned_actions.customer_id asc
                    )
        end as priority,
        md5(planned_actions.customer_id || '/' || cast(planned_actions.as_of_date as varchar)) as action_id
    from planned_actions
    inner join scores
        on planned_actions.customer_id = scores.customer_id and planned_actions.as_of_date = scores.as_of_date
    inner join candidates on planned_actions.customer_id = candidates.customer_id
    cross join parameters
    left join offers on planned_actions.action = offers.offer
    left join reductions on planned_actions.planned_action = reductions.offer
    left join reasons on planned_actions.customer_id = reasons.customer_id

),

worded as (

    select
        combined.*,
        {{ rationale() }} as rationale
    from combined

),

hashed as (

    select
        {% for column, type in decision_types().items() -%}
            cast({{ column }} as {{ type }}) as {{ column }},
        {% endfor -%}
        {{ row_hash(decision_columns()) }} as row_hash
    from worded

)

select * from hashed
