{{ config(materialized='table') }}

with planned_realised as (

    select * from {{ ref('int_planned_realised') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

rows_of_offers as (

    select
        cast(planned_realised.offer as string) as offer,
        cast(planned_realised.contacts as bigint) as contacts,
        cast(planned_realised.controls as bigint) as controls,
        cast(planned_realised.planned_value as double) as planned_value,
        cast(planned_realised.realised_value as double) as realised_value,
        cast(planned_realised.realised_low as double) as realised_low,
        cast(planned_realised.realised_high as double) as realised_high,
        cast(planned_realised.realised_over_planned as double) as realised_over_planned,
        cast(planned_realised.ratio_low as double) as ratio_low,
        cast(planned_realised.ratio_high as double) as ratio_high,
        cast(planned_realised.reason as string) as reason,
        cast(planned_realised.last_month as date) as last_month,
        cast(parameters.currency as string) as currency
    from planned_realised
    cross join parameters

)

select * from rows_of_offers
