{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='as_of_date',
    full_refresh=false,
    on_schema_change='append_new_columns',
) }}

-- One row per run. planned_ columns speak of the plan, with the contacts that are withheld to measure; done_ columns of
-- what is left of it. The plan's certificate (bound, gap, prices) and the references are the same on all rows of
-- int_planned_actions.
with planned_actions as (

    select * from {{ ref('int_planned_actions') }}

),

decisions as (

    select * from {{ ref('int_decisions') }}

),

done_value as (

    select * from {{ ref('int_done_value') }}

),

limits as (

    select * from {{ ref('int_month_limits') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

run as (

    select * from {{ ref('int_run') }}

),

budget as (

    select
        monthly_limit as monthly_budget,
        available as available_budget
    from limits
    where limit_type = 'budget'

),

-- An offer that chance assigned in a trial, but that its limits could not carry, is not part of the plan.
counted as (

    select
        as_of_date,
        action,
        arm,
        case when is_withdrawn then 'no_action' else planned_action end as planned_action,
        case when is_withdrawn then 0 else planned_cost end as planned_cost,
        case when is_withdrawn then 0 else planned_value end as planned_value,
        plan_value_bound,
        plan_gap,
        budget_price,
        limit_prices,
        reference_fixed_thresholds_value,
        reference_break_even_value,
        reference_top_risk_value,
        reference_greedy_value,
        policy_version
    from (
        select
            planned_actions.*,
            {{ is_withdrawn_trial('planned_actions') }} as is_withdrawn
        from planned_actions
    ) as marked

),

-- Spend, value and bound describe the plan before pick-holdouts are withheld.
totals as (

    select
        counted.as_of_date,
        count(*) as customers_at_risk,
        count(case when planned_action <> 'no_action' then 1 end) as planned_contacts,
        count(case when action <> 'no_action' then 1 end) as contacts,
        count(case when arm = 'pick_holdout' then 1 end) as pick_holdouts,
        count(case when arm = 'trial' and action <> 'no_action' then 1 end) as trial_contacts,
        sum(
            case
                when arm = 'trial' and action <> 'no_action' then cast(round(planned_cost * 100) as bigint) else 0
            end
        ) / 100 as trial_spend,
        sum(
            case
                when arm = 'trial' and action <> 'no_action'
                    then cast(round(planned_value * 100) as bigint)
                else 0
            end
        ) / 100 as trial_value,
        count(case when arm = 'universal_holdout' then 1 end) as universal_holdouts,
        count(case when arm = 'suppressed' then 1 end) as suppressed_customers,
        sum(cast(round(planned_cost * 100) as bigint)) / 100 as planned_spend,
        sum(case when action <> 'no_action' then cast(round(planned_cost * 100) as bigint) else 0 end)
        / 100 as done_spend,
        sum(cast(round(planned_value * 100) as bigint)) / 100 as planned_value,
        sum(
            case
                when arm in ('policy', 'pick_holdout')
                    then cast(round((planned_value - touch_price) * 100) as bigint)
                else 0
            end
        ) / 100 as steered_value,
        max(plan_value_bound) as plan_value_bound,
        max(plan_gap) as plan_gap,
        max(budget_price) as budget_price,
        max(limit_prices) as limit_prices,
        max(reference_fixed_thresholds_value) as reference_fixed_thresholds_value,
        max(reference_break_even_value) as reference_break_even_value,
        max(reference_top_risk_value) as reference_top_risk_value,
        max(reference_greedy_value) as reference_greedy_value,
        max(policy_version) as policy_version
    from counted
    cross join parameters
    group by counted.as_of_date

),

versions as (

    select
        as_of_date,
        max(pipeline_version) as pipeline_version
    from decisions
    group by as_of_date

),

night as (

    {{ night_hashes('decisions') }}

),

runs as (

    select
        cast(totals.as_of_date as date) as as_of_date,
        cast(parameters.currency as string) as currency,
        cast(budget.monthly_budget as double) as monthly_budget,
        cast(budget.available_budget as double) as available_budget,
        cast(totals.customers_at_risk as bigint) as customers_at_risk,
        cast(totals.planned_contacts as bigint) as planned_contacts,
        cast(totals.contacts as bigint) as contacts,
        cast(totals.pick_holdouts as bigint) as pick_holdouts,
        cast(totals.universal_holdouts as bigint) as universal_holdouts,
        cast(totals.suppressed_customers as bigint) as suppressed_customers,
        cast(totals.planned_spend as double) as planned_spend,
        cast(totals.planned_value as double) as planned_value,
        cast(totals.done_spend as double) as done_spend,
        cast(done_value.done_value as double) as done_value,
        cast(done_value.done_value_low as double) as done_value_low,
        cast(done_value.done_value_high as double) as done_value_high,
        cast(done_value.done_optimism as double) as done_optimism,
        cast(done_value.done_cost as double) as done_cost,
        cast(totals.trial_contacts as bigint) as trial_contacts,
        cast(totals.trial_spend as double) as trial_spend,
        cast(totals.trial_value as double) as trial_value,
        cast(totals.steered_value as double) as steered_value,
        cast(totals.plan_value_bound as double) as plan_value_bound,
        cast(totals.plan_gap as double) as plan_gap,
        cast(totals.budget_price as double) as budget_price,
        cast(totals.limit_prices as string) as limit_prices,
        cast(totals.reference_fixed_thresholds_value as double) as reference_fixed_thresholds_value,
        cast(totals.reference_break_even_value as double) as reference_break_even_value,
        cast(totals.reference_top_risk_value as double) as reference_top_risk_value,
        cast(totals.reference_greedy_value as double) as reference_greedy_value,
        cast(parameters.randomisation_salt as string) as randomisation_salt,
        cast(parameters.universal_holdout_share as double) as universal_holdout_share,
        cast(parameters.horizon_days as integer) as horizon_days,
        cast(versions.pipeline_version as string) as pipeline_version,
        cast(totals.policy_version as string) as policy_version,
        cast(night.decisions_hash as string) as decisions_hash
    from totals
    inner join versions on totals.as_of_date = versions.as_of_date
    inner join night on totals.as_of_date = night.as_of_date
    inner join run on totals.as_of_date = run.as_of_date and not run.is_frozen
    inner join done_value on totals.as_of_date = done_value.as_of_date
    cross join budget
    cross join parameters

)

select * from runs
