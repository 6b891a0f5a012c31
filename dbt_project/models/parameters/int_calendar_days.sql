-- The days that metrics are asked for: from the first day of the data to a year after the last.
with run as (

    select * from {{ ref('int_run') }}

),

days as (

    {{ day_series(
        '(select data_starts_on from run)', '(select ' ~ add_days('data_ends_on', 365) ~ ' from run)'
    ) }}

),

calendar_days as (

    select cast(day as date) as calendar_day
    from days

)

select * from calendar_days
