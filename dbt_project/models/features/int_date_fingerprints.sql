{{ config(materialized='table') }}

-- What the raw data says today of every stored date and of those that this run builds. Subscriptions and sign-ups count
-- at any age, the others within the longest window before the date: features look no further back, except for
-- open cases, so that a source which keeps only its last years does not change every date each night.
{% set at_any_age = "fact in ('customers', 'subscriptions', 'subscriptions announced', 'subscriptions ended')" -%}

with fact_days as (

    select * from {{ ref('int_fact_days') }}

),

feature_dates as (

    select * from {{ ref('int_feature_dates') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

dates as (

    select as_of_date
    from {{ own_earlier_runs('customer_features', {'as_of_date': 'date'}) }} as built_features
    union
    select as_of_date
    from feature_dates

),

kinds as (

    select distinct fact
    from fact_days

),

edges as (

    select
        kinds.fact,
        dates.as_of_date,
        dates.as_of_date as day,
        1 as sign
    from dates
    cross join kinds
    union all
    select
        kinds.fact,
        dates.as_of_date,
        {{ add_days(
            'dates.as_of_date', '-greatest(' ~ observation_windows() | max ~ ', parameters.at_risk_days)'
        ) }} as day,
        -1 as sign
    from dates
    cross join parameters
    inner join kinds on not ({{ at_any_age }})

),

steps as (

    select
        fact,
        known_on as day,
        facts,
        fact_sum,
        cast(null as date) as as_of_date,
        0 as sign
    from fact_days
    union all
    select
        fact,
        day,
        cast(0 as bigint) as facts,
        cast(0 as bigint) as fact_sum,
        as_of_date,
        sign
    from edges

),

running as (

    select
        fact,
        as_of_date,
        sign,
        sum(facts) over (partition by fact order by day) as facts,
        sum(fact_sum) over (partition by fact order by day) as fact_sum
    from steps

),

fingerprints as (

    select
        cast(as_of_date as date) as as_of_date,
        cast(fact as string) as fact,
        cast(sum(sign * facts) as bigint) as facts,
        cast(sum(sign * fact_sum) as bigint) as fact_sum,
        cast(version() as string) as made_by
    from running
    where sign <> 0
    group by as_of_date, fact

)

select * from fingerprints
