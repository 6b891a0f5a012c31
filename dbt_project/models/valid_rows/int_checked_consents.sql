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

stated_consents as (

    select
        customer_id,
        channel,
        is_granted,
        {{ stated_day('recorded_at') }} as recorded_at
    from consents

),

checked as (

    select
        stated_consents.*,
        cast(stated_consents.recorded_at as date) as recorded_on,
        case
            when {{ is_missing_id('stated_consents.customer_id') }} then 'missing_customer_id'
            when customers.customer_id is null then 'unknown_customer'
            when stated_consents.channel is null or channels.channel is null then 'unknown_channel'
            when stated_consents.is_granted is null then 'missing_is_granted'
            when cast(stated_consents.recorded_at as date) > run.data_ends_on then 'after_data_end'
        end as quarantine_reason
    from stated_consents
    cross join run
    left join customers on stated_consents.customer_id = customers.customer_id
    left join channels on stated_consents.channel = channels.channel
    where {{ is_not_erased('case when customers.customer_id is null then stated_consents.customer_id end') }}

)

select * from checked
