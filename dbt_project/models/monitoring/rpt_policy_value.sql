{{ config(materialized='table') }}

with measured as (

    select * from {{ ref('int_policy_value') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

policy_value as (

    select
        cast(measured.period as varchar) as period,
        cast(measured.method as varchar) as method,
        cast(measured.first_month as date) as first_month,
        cast(measured.last_month as date) as last_month,
        cast(measured.months as integer) as months,
        cast(measured.customers as bigint) as customers,
        cast(measured.left_alone as bigint) as left_alone,
        cast(measured.value as double) as value,
        cast(measured.value_per_customer as double) as value_per_customer,
        cast(measured.standard_error as double) as standard_error,
        cast(measured.value_low as double) as value_low,
        cast(measured.value_high as double) as value_high,
        cast(measured.is_distinguishable as boolean) as is_distinguishable,
        cast(measured.months_needed as integer) as months_needed,
        cast(measured.verdict as varchar) as verdict,
        cast(parameters.currency as varchar) as currency
    from measured
    cross join parameters

)

select * from policy_value
