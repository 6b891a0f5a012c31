{{ config(materialized='table') }}

with customers as (

    select * from {{ valid_rows('customers') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

run as (

    select * from {{ ref('int_run') }}

),

subscription_states as (

    select * from {{ ref('int_subscription_states') }}

),

activity_windows as (

    select * from {{ ref('int_activity_windows') }}

),

subscribers as (

    select
        subscription_states.customer_id,
        subscription_states.as_of_date
    from subscription_states
    inner join parameters on parameters.churn_definition = 'subscription_end'

),

active_customers as (

    select
        activity_windows.customer_id,
        activity_windows.as_of_date
    from activity_windows
    inner join parameters on parameters.churn_definition = 'inactivity'
    where activity_windows.activity_in_at_risk_days > 0

),

at_risk as (

    select * from subscribers
    union all
    select * from active_customers

),

known_customers as (

    select
        at_risk.customer_id,
        at_risk.as_of_date,
        {{ days_between('least(customers.signed_up_on, at_risk.as_of_date)', 'at_risk.as_of_date') }} as tenure_days,
        {{ days_between('least(run.data_starts_on, at_risk.as_of_date)', 'at_risk.as_of_date') }} as days_of_data,
        customers.region,
        customers.acquisition_channel,
        customers.segment
    from at_risk
    inner join customers on at_risk.customer_id = customers.customer_id
    cross join run

),

-- What happened in the last 365 days happened on fewer where the customer or the data are younger.
observed as (

    select
        cast(customer_id as string) as customer_id,
        cast(as_of_date as date) as as_of_date,
        cast(tenure_days as integer) as tenure_days,
        cast(greatest(least(tenure_days, days_of_data, 365), 30) as integer) as days_observed,
        region,
        acquisition_channel,
        segment
    from known_customers

)

select * from observed
