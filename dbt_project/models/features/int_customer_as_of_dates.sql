{{ config(materialized='table') }}

with customers as (

    select * from {{ valid_rows('customers') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

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
        cast(at_risk.customer_id as string) as customer_id,
        cast(at_risk.as_of_date as date) as as_of_date,
        cast({{ days_between('least(customers.signed_up_on, at_risk.as_of_date)', 'at_risk.as_of_date') }} as integer)
            as tenure_days,
        customers.region,
        customers.acquisition_channel,
        customers.segment
    from at_risk
    inner join customers on at_risk.customer_id = customers.customer_id

)

select * from known_customers
