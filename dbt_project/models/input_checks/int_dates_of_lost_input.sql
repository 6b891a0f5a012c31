{{ config(materialized='table') }}

-- The next build computes their features again, whatever becomes of this one.
with problems as (

    select * from {{ ref('rpt_input_problems') }}

),

feature_dates as (

    select * from {{ ref('int_feature_dates') }}

),

stops as (

    select count(*) as stopping_problems
    from problems
    where status = 'stop'

),

dates as (

    select cast(feature_dates.as_of_date as date) as as_of_date
    from feature_dates
    inner join stops on stops.stopping_problems > 0

)

select * from dates
