{{ config(materialized='table') }}

-- Types and a contract for the fitted curves, which int_retention_curves returns from Python.
with learned_curves as (

    select * from {{ ref('int_retention_curves') }}

),

curves as (

    select
        cast(
            quantity || coalesce('/' || cast(period as string), '') || coalesce('/' || cast(risk_tenth as string), '')
            || coalesce('/' || cast(renewal_interval_days as string), '') as string
        ) as curve_point,
        cast(quantity as string) as quantity,
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
