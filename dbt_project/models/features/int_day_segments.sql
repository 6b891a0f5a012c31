{{ config(materialized='table') }}

-- Every edge of every observation window is a day boundary. The days between two neighbouring edges form a segment, so
-- that each window is an exact sum of whole segments, for any number of dates.
with feature_dates as (

    select * from {{ ref('int_feature_dates') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

edges as (

    {% for days in [0] + observation_windows() -%}
        select {{ add_days('as_of_date', -days) }} as last_day_before
        from feature_dates
        union
    {% endfor -%}
    select {{ add_days('feature_dates.as_of_date', '-parameters.at_risk_days') }} as last_day_before
    from feature_dates
    cross join parameters

),

bounds as (

    select
        min(last_day_before) as first_edge,
        max(last_day_before) as last_edge
    from edges

),

days as (

    {{ day_series(add_days('first_edge', 1), 'last_edge') }}
    from bounds

),

spans as (

    select
        days.day,
        sum(case when edges.last_day_before is null then 0 else 1 end) over (order by days.day) as span_number
    from days
    left join edges on days.day = {{ add_days('edges.last_day_before', 1) }}

),

numbered as (

    select
        day,
        span_number,
        row_number() over (partition by span_number order by day) - 1 as day_in_span
    from spans

),

-- A segment holds at most 63 days, so that its active days fit into the bits of one integer.
segments as (

    select
        cast(day as date) as day,
        cast(span_number * 1000 + floor(day_in_span / 63) as integer) as segment_number,
        cast(day_in_span % 63 as integer) as day_in_segment
    from numbered

)

select * from segments
