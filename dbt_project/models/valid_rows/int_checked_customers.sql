{{ config(materialized='table') }}

-- A table: every other check asks it whether a customer exists, so that a night would find the copies among the
-- customers dozens of times.
with customers as (

    select * from {{ ref('stg_customers') }}

),

run as (

    select * from {{ ref('int_run') }}

),

judged as (

    select
        customers.*,
        case
            when {{ is_missing_id('customers.customer_id') }} then 'missing_customer_id'
            when customers.signed_up_on is null then 'missing_signed_up_on'
            when {{ is_placeholder_day('customers.signed_up_on') }} then 'placeholder_date'
            when customers.signed_up_on > run.data_ends_on then 'after_data_end'
        end as fault
    from customers
    cross join run
    where {{ is_not_erased('customers.customer_id') }}

),

-- Of several sound rows for one customer the earliest stays.
numbered as (

    {{ set_copies_aside(
        'judged', 'customer_id', 'signed_up_on, region, acquisition_channel, segment', 'duplicate_customer_id'
    ) }}

),

checked as (

    select
        customer_id,
        signed_up_on,
        region,
        acquisition_channel,
        segment,
        quarantine_reason
    from numbered

)

select * from checked
