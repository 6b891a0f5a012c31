{{ config(materialized='table') }}

-- Types and a contract for the fitted curves, which int_retention_curves returns from Python.
with learned_curves as (

    select * from {{ ref('int_retention_curves') }}

),

curves as (

    select
        cast(
            quantity || coalesce('/' || cast(period as varchar), '') || coalesce('/' || cast(risk_tenth as varchar), '')
            || coalesce('/' || cast(renewal_interval_days as varchar), '') as varchar
        ) as curve_point,
        cast(quantity as varchar) as quantity,
        cast(period as bigint) as period,
        cast(risk_tenth as bigint) as risk_tenth,
        cast(renewal_interval_days as bigint) as renewal_interval_days,
        cast(fitted as double) as fitted,
        cast(observed as double) as observed,
        cast(at_risk as double) as at_risk,
        cast(left_in_period as double) as left_in_period
    from learned_curves

)

select * from curves
