{{ config(materialized='table') }}

-- The first decision of a customer in each calendar month, once one horizon has passed after the end of the month.
-- Plans of later nights do not change which row that is, so that contacted customers are compared with others over the
-- same days.
-- depends_on: {{ ref('int_input_gate') }}
with previous_actions as (

    select * from {{ ref('int_previous_actions') }}

),

run as (

    select * from {{ ref('int_run') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

numbered as (

    select
        previous_actions.*,
        row_number() over (
            partition by customer_id, cast(date_trunc('month', as_of_date) as date)
            order by as_of_date
        ) as month_rank
    from previous_actions

),

first_decisions as (

    select
        cast(numbered.action_id as varchar) as action_id,
        cast(numbered.customer_id as varchar) as customer_id,
        cast(date_trunc('month', numbered.as_of_date) as date) as outcome_month,
        cast(numbered.as_of_date as date) as as_of_date,
        cast({{ add_days('numbered.as_of_date', 'parameters.horizon_days') }} as date) as horizon_ends_on,
        cast({{ add_days(dbt.last_day('numbered.as_of_date', 'month'), 'parameters.horizon_days') }} as date)
            as month_horizon_ends_on,
        cast(numbered.arm as varchar) as arm,
        cast(numbered.risk_tier as varchar) as risk_tier,
        cast(numbered.churn_probability as double) as churn_probability,
        cast(numbered.customer_value as double) as customer_value,
        cast(numbered.pipeline_version as varchar) as pipeline_version
    from numbered
    cross join run
    cross join parameters
    where
        {{ input_is_complete() }}
        and numbered.month_rank = 1
        and {{ add_days(dbt.last_day('numbered.as_of_date', 'month'), label_wait_days()) }} <= run.as_of_date

)

select * from first_decisions
