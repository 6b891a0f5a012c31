with customers as (

    select * from {{ ref('stg_customers') }}

),

run as (

    select * from {{ ref('int_run') }}

),

-- Of several rows for one customer the earliest stays.
numbered as (

    select
        customers.*,
        row_number() over (
            partition by customer_id
            order by signed_up_on, region, acquisition_channel, segment
        ) as copy_number
    from customers

),

checked as (

    select
        numbered.customer_id,
        numbered.signed_up_on,
        numbered.region,
        numbered.acquisition_channel,
        numbered.segment,
        case
            when numbered.customer_id is null then 'missing_customer_id'
            when numbered.signed_up_on is null then 'missing_signed_up_on'
            when numbered.signed_up_on > run.data_ends_on then 'after_data_end'
            when numbered.copy_number > 1 then 'duplicate_customer_id'
        end as quarantine_reason
    from numbered
    cross join run

)

select * from checked
