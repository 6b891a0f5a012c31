{{ config(materialized='table') }}

with worded_actions as (

    select * from {{ ref('int_worded_actions') }}

),

prioritised as (

    select
        customer_id,
        row_number() over (order by incremental_expected_value desc, customer_id asc) as priority
    from worded_actions
    where action <> 'no_action'

),

decisions as (

    select
        cast(md5(worded_actions.customer_id || '/' || cast(worded_actions.as_of_date as varchar)) as varchar)
            as action_id,
        cast(worded_actions.customer_id as varchar) as customer_id,
        cast(worded_actions.as_of_date as date) as as_of_date,
        cast(worded_actions.action as varchar) as action,
        cast(worded_actions.planned_action as varchar) as planned_action,
        cast(worded_actions.action_label as varchar) as action_label,
        cast(worded_actions.channel as varchar) as channel,
        cast(prioritised.priority as integer) as priority,
        cast(worded_actions.risk_tier as varchar) as risk_tier,
        cast(worded_actions.churn_probability as double) as churn_probability,
        cast(worded_actions.risk_percentile as double) as risk_percentile,
        cast(worded_actions.customer_value as double) as customer_value,
        cast(worded_actions.relative_risk as double) as relative_risk,
        cast(worded_actions.effect_source as varchar) as effect_source,
        cast(worded_actions.expected_cost as double) as expected_cost,
        cast(worded_actions.incremental_expected_value as double) as incremental_expected_value,
        cast(worded_actions.currency as varchar) as currency,
        cast(worded_actions.reason_1 as varchar) as reason_1,
        cast(worded_actions.reason_2 as varchar) as reason_2,
        cast(worded_actions.reason_3 as varchar) as reason_3,
        cast(worded_actions.rationale as varchar) as rationale,
        cast(worded_actions.suppression_reason as varchar) as suppression_reason,
        cast(worded_actions.arm as varchar) as arm,
        cast(worded_actions.propensity as double) as propensity,
        cast(worded_actions.propensity_no_action as double) as propensity_no_action,
        cast({{ add_days('worded_actions.as_of_date', 1) }} as date) as valid_from,
        cast({{ add_days('worded_actions.as_of_date', 'worded_actions.action_valid_days') }} as date) as valid_to,
        cast(worded_actions.pipeline_version as varchar) as pipeline_version,
        cast(worded_actions.policy_version as varchar) as policy_version
    from worded_actions
    left join prioritised on worded_actions.customer_id = prioritised.customer_id

),

hashed as (

    select
        decisions.*,
        {{ row_hash(decision_columns()) }} as row_hash
    from decisions

)

select * from hashed
