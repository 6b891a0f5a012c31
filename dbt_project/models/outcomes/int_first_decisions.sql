{{ config(materialized='table') }}

-- The first decision of a customer in each calendar month, once the horizons of all its days have passed.
-- Plans of later nights do not change which row that is, so that contacted customers are compared with others over the
-- same days.
-- depends_on: {{ ref('int_input_gate') }}
with lasting_decisions as (

    select * from {{ ref('int_lasting_decisions') }}

),

open_outcomes as (

    select * from {{ ref('int_open_outcomes') }}

),

month_horizons as (

    select * from {{ ref('int_month_horizons') }}

),

run as (

    select * from {{ ref('int_run') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

first_decisions as (

    select
        cast(lasting_decisions.action_id as string) as action_id,
        cast(lasting_decisions.customer_id as string) as customer_id,
        cast(date_trunc('month', lasting_decisions.as_of_date) as date) as outcome_month,
        cast(lasting_decisions.as_of_date as date) as as_of_date,
        cast({{ add_days('lasting_decisions.as_of_date', 'lasting_decisions.horizon_days') }} as date)
            as horizon_ends_on,
        cast(lasting_decisions.arm as string) as arm,
        cast(lasting_decisions.risk_tier as string) as risk_tier,
        cast(lasting_decisions.churn_probability as double) as churn_probability,
        cast(lasting_decisions.customer_value as double) as customer_value,
        cast(lasting_decisions.pipeline_version as string) as pipeline_version
    from lasting_decisions
    inner join open_outcomes on lasting_decisions.as_of_date >= open_outcomes.open_from
    inner join month_horizons
        on cast(date_trunc('month', lasting_decisions.as_of_date) as date) = month_horizons.outcome_month
    cross join run
    cross join parameters
    where
        {{ input_is_complete() }}
        and lasting_decisions.is_first_of_month
        and {{ add_days('month_horizons.month_horizon_ends_on', 'parameters.resume_grace_days') }} <= run.as_of_date

)

select * from first_decisions
