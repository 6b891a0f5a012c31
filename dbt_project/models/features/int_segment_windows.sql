{{ config(materialized='table') }}

with day_segments as (

    select * from {{ ref('int_day_segments') }}

),

feature_dates as (

    select * from {{ ref('int_feature_dates') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

segments as (

    select
        segment_number,
        min(day) as first_day,
        max(day) as last_day
    from day_segments
    group by segment_number
    union all
    -- Segment 0 holds all days before the first window.
    select
        0 as segment_number,
        cast(null as date) as first_day,
        {{ add_days('min(day)', -1) }} as last_day
    from day_segments

),

windows as (

    select
        cast(segments.segment_number as integer) as segment_number,
        cast(feature_dates.as_of_date as date) as as_of_date,
        {% for days in observation_windows() -%}
            cast(
                case when segments.first_day > {{ add_days('feature_dates.as_of_date', -days) }} then 1 else 0 end
                as integer
            ) as in_last_{{ days }}_days,
        {% endfor -%}
        cast(
            case
                when segments.first_day > {{ add_days('feature_dates.as_of_date', '-parameters.at_risk_days') }}
                    then 1
                else 0
            end as integer
        ) as in_at_risk_days
    from segments
    inner join feature_dates on segments.last_day <= feature_dates.as_of_date
    cross join parameters

)

select * from windows
