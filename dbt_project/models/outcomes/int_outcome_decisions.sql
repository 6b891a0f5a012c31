{{ config(materialized='table') }}

-- The decision that represents a calendar month of a customer, once its horizon has passed: the first one with a
-- planned action, or the first one of the month. The choice must be final, so a month without a plan waits for its end.
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
        cast(date_trunc('month', as_of_date) as date) as outcome_month,
        row_number() over (
            partition by customer_id, cast(date_trunc('month', as_of_date) as date)
            order by case when planned_action <> 'no_action' then 0 else 1 end asc, as_of_date asc
        ) as month_rank
    from previous_actions

),

matured as (

    select
        numbered.*,
        {{ add_days('numbered.as_of_date', 'parameters.horizon_days') }} as horizon_ends_on
    from numbered
    cross join run
    cross join parameters
    where numbered.month_rank = 1
        and {{ add_days('numbered.as_of_date', label_wait_days()) }} <= run.as_of_date
        and (
            numbered.planned_action <> 'no_action'
            or {{ dbt.last_day('numbered.as_of_date', 'month') }} <= run.as_of_date
        )

)

select * from matured
