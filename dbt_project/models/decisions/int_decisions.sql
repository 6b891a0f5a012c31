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

cited_reasons as (

    select * from {{ ref('int_cited_reasons') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

reasons as (

    select
        customer_id,
        {% for rank in [1, 2, 3] -%}
            max(case when reason_rank = {{ rank }} then reason_text end) as reason_{{ rank }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from cited_reasons
    group by customer_id

),

-- A measured effect is called measured where its 95 % interval lies below 0.
reductions as (

    {{ offer_reductions() }}

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
        case when planned_actions.action <> 'no_action' then planned_actions.planned_cost end as expected_cost,
        case when planned_actions.action <> 'no_action' then planned_actions.planned_value end
            as incremental_expected_value,
        {{ add_days('planned_actions.as_of_date', 1) }} as valid_from,
        {{ add_days('planned_actions.as_of_date', 'parameters.action_valid_days') }} as valid_to,
        reasons.reason_1,
        reasons.reason_2,
        reasons.reason_3,
        {% for signal in reason_signals() -%}
            {{ shown_reduction('candidates.signal_' ~ signal, 'reductions.reduction_' ~ signal) }}
                as reduction_{{ signal }},
            reductions.is_measured_{{ signal }},
        {% endfor -%}
        case
            when planned_actions.action <> 'no_action'
                then
                    row_number() over (
                        partition by planned_actions.action <> 'no_action'
                        order by planned_actions.planned_value desc, planned_actions.customer_id asc
                    )
        end as priority,
        {{ action_id_of('planned_actions.customer_id', 'planned_actions.as_of_date') }} as action_id
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
        {{ row_hash(decision_types()) }} as row_hash
    from worded

)

select * from hashed
