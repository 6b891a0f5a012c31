with consents as (

    select * from {{ ref('stg_consents') }}

),

customers as (

    select * from {{ valid_rows('customers') }}

),

channels as (

    select * from {{ ref('int_channels') }}

),

run as (

    select * from {{ ref('int_run') }}

),

checked as (

    select
        consents.*,
        cast(consents.recorded_at as date) as recorded_on,
        case
            when consents.customer_id is null then 'missing_customer_id'
            when customers.customer_id is null then 'unknown_customer'
            when consents.channel is null or channels.channel is null then 'unknown_channel'
            when consents.is_granted is null then 'missing_is_granted'
            when cast(consents.recorded_at as date) > run.data_ends_on then 'after_data_end'
        end as quarantine_reason
    from consents
    cross join run
    left join customers on consents.customer_id = customers.customer_id
    left join channels on consents.channel = channels.channel
    where {{ is_not_erased('case when customers.customer_id is null then consents.customer_id end') }}

)

select * from checked
