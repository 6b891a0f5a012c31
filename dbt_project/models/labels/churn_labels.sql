-- A customer-date has a label once its horizon has passed by the date of the run. A view: only a training reads it.
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
    where {{ add_days('at_risk.as_of_date', label_wait_days()) }} <= run.as_of_date

),

stayed as (

    {{ stayed_through_horizon('matured') }}

),

labels as (

    select
        cast(matured.customer_id as string) as customer_id,
        cast(matured.as_of_date as date) as as_of_date,
        cast(matured.churn_definition as string) as churn_definition,
        cast(matured.horizon_days as integer) as horizon_days,
        cast(matured.horizon_ends_on as date) as horizon_ends_on,
        cast(stayed.customer_id is null as boolean) as has_churned
    from matured
    left join stayed
        on matured.customer_id = stayed.customer_id
            and matured.as_of_date = stayed.as_of_date

)

select * from labels
