{{ config(materialized='table') }}

-- A label exists only once its horizon has passed by the run's date.
with at_risk as (

    select
        customer_id,
        as_of_date
    from {{ ref('customer_features') }}

),

run as (

    select * from {{ ref('int_run') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

subscriptions as (

    select * from {{ ref('int_valid_subscriptions') }}

),

activity as (

    select * from {{ ref('int_valid_activity') }}

),

activity_map as (

    select * from {{ ref('activity_map') }}

),

matured as (

    select
        at_risk.customer_id,
        at_risk.as_of_date,
        {{ add_days('at_risk.as_of_date', 'parameters.horizon_days') }} as horizon_ends_on,
        parameters.churn_definition,
        parameters.horizon_days
    from at_risk
    cross join run
    cross join parameters
    where {{ add_days('at_risk.as_of_date', 'parameters.horizon_days') }} <= run.as_of_date

),

active_types as (

    select distinct activity_type
    from activity_map
    where counts_as_event and meaning in ('engagement', 'purchase')

),

active_days as (

    select distinct
        activity.customer_id,
        activity.occurred_on
    from activity
    inner join active_types on activity.activity_type = active_types.activity_type
    inner join parameters on parameters.churn_definition = 'inactivity'

),

-- A subscription that runs at the end of the horizon was kept, or ended and was resumed.
stayed_subscribed as (

    select distinct
        matured.customer_id,
        matured.as_of_date
    from matured
    inner join subscriptions
        on matured.customer_id = subscriptions.customer_id
            and matured.horizon_ends_on >= subscriptions.started_on
            and (subscriptions.ended_on is null or matured.horizon_ends_on < subscriptions.ended_on)
    where matured.churn_definition = 'subscription_end'

),

stayed_active as (

    select distinct
        matured.customer_id,
        matured.as_of_date
    from matured
    inner join active_days
        on matured.customer_id = active_days.customer_id
            and matured.as_of_date < active_days.occurred_on
            and matured.horizon_ends_on >= active_days.occurred_on

),

stayed as (

    select * from stayed_subscribed
    union all
    select * from stayed_active

),

labels as (

    select
        cast(matured.customer_id as varchar) as customer_id,
        cast(matured.as_of_date as date) as as_of_date,
        cast(matured.churn_definition as varchar) as churn_definition,
        cast(matured.horizon_days as integer) as horizon_days,
        cast(matured.horizon_ends_on as date) as horizon_ends_on,
        cast(stayed.customer_id is null as boolean) as has_churned
    from matured
    left join stayed
        on matured.customer_id = stayed.customer_id
            and matured.as_of_date = stayed.as_of_date

)

select * from labels
