{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='outcome_month',
    full_refresh=false,
    on_schema_change='append_new_columns',
    pre_hook='{{ forget_own_months() }}',
) }}

-- Months of int_outcome_decisions are computed anew, as long as their outcomes may change; the others are final.
-- Outcomes of lost input would be false, and some are kept for good.
-- depends_on: {{ ref('int_input_gate') }}
with decisions as (

    select * from {{ ref('int_outcome_decisions') }}

),

weights as (

    select * from {{ ref('int_outcome_weights') }}

),

contacts as (

    select * from {{ ref('int_outcome_contacts') }}

),

executions as (

    select * from {{ ref('int_set_aside_executions') }}

),

revenue as (

    select * from {{ ref('int_outcome_revenue') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

stayed as (

    {{ stayed_through_horizon('decisions') }}

),

outcomes as (

    select
        {% for column, type in {
            'action_id': 'string', 'customer_id': 'string', 'as_of_date': 'date', 'outcome_month': 'date',
            'horizon_ends_on': 'date', 'planned_action': 'string', 'action': 'string', 'arm': 'string',
            'channel': 'string', 'risk_tier': 'string', 'churn_probability': 'double', 'customer_value': 'double',
            'relative_risk': 'double', 'expected_cost': 'double', 'incremental_expected_value': 'double',
            'effect_source': 'string', 'propensity': 'double', 'propensity_no_action': 'double',
        }.items() -%}
            cast(decisions.{{ column }} as {{ type }}) as {{ column }},
        {% endfor -%}
        cast(weights.outcome_weight as double) as outcome_weight,
        cast(
            case
                when contacts.execution is not null then contacts.execution
                when decisions.action = 'no_action' then 'left_alone'
                when executions.action_id is null then 'not_executed'
                when executions.executed_on > decisions.valid_to then 'executed_late'
                else 'executed'
            end as string
        ) as contact_status,
        cast(
            coalesce(contacts.is_contacted, false)
            or coalesce(executions.executed_on <= decisions.horizon_ends_on, false) as boolean
        ) as is_contacted,
        cast(contacts.contact_id as string) as contact_id,
        cast(contacts.contacted_offer as string) as contacted_offer,
        cast(contacts.contacted_on as date) as contacted_on,
        cast(coalesce(contacts.has_accepted, false) as boolean) as has_accepted,
        cast(coalesce(contacts.cost_cents, 0) / 100 as double) as realised_cost,
        cast(stayed.customer_id is null as boolean) as has_churned,
        cast(round(
            parameters.margin_rate * (revenue.fee_cents_days / 30 + revenue.purchase_cents) / 100, 2
        ) as double) as realised_margin,
        {% for signal in reason_signals() -%}
            cast(decisions.signal_{{ signal }} as double) as signal_{{ signal }},
        {% endfor -%}
        cast(decisions.pipeline_version as string) as pipeline_version,
        cast(decisions.policy_version as string) as policy_version
    from decisions
    inner join weights on decisions.action_id = weights.action_id
    inner join revenue on decisions.action_id = revenue.action_id
    cross join parameters
    left join contacts on decisions.action_id = contacts.action_id
    left join executions on decisions.action_id = executions.action_id and decisions.action <> 'no_action'
    left join stayed on decisions.customer_id = stayed.customer_id and decisions.as_of_date = stayed.as_of_date
    where {{ input_is_complete() }}

)

select * from outcomes
