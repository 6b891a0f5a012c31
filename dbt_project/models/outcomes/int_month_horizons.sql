{{ config(materialized='table') }}

-- Calendar months whose outcomes may still change, and the day by which the horizons of all their days have passed. No
-- month comes before an earlier one, whose runs may have decided with a longer horizon.
with lasting_decisions as (

    select * from {{ ref('int_lasting_decisions') }}

),

open_outcomes as (

    select * from {{ ref('int_open_outcomes') }}

),

months as (

    select
        cast(date_trunc('month', lasting_decisions.as_of_date) as date) as outcome_month,
        max(lasting_decisions.horizon_days) as horizon_days
    from lasting_decisions
    inner join open_outcomes on lasting_decisions.as_of_date >= open_outcomes.open_from
    group by cast(date_trunc('month', lasting_decisions.as_of_date) as date)

),

horizons as (

    select
        outcome_month,
        cast(
            max({{ add_days('last_day(outcome_month)', 'horizon_days') }}) over (
                order by outcome_month
                rows between unbounded preceding and current row
            ) as date
        ) as month_horizon_ends_on
    from months

)

select * from horizons
