-- Customers of a past trial are scored at the end of the month before it.
with contacts as (

    select * from {{ ref('stg_retention_contacts') }}

),

trial_dates as (

    select distinct
        cast({{ add_days("cast(date_trunc('month', contacted_on) as date)", -1) }} as date) as as_of_date
    from contacts
    where is_randomized and {{ is_missing_id('action_id') }} and contacted_on is not null

)

select * from trial_dates
