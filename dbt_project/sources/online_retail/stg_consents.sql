-- The shop recorded no consent: each of its customers counts as consenting to every channel (see README.md).
with customers as (

    select * from {{ ref('stg_customers') }}

),

channels as (

    select 'email' as channel
    union all
    select 'phone' as channel
    union all
    select 'push' as channel

),

consents as (

    select
        ---------- ids
        cast(customers.customer_id as string) as customer_id,

        ---------- text
        cast(channels.channel as string) as channel,

        ---------- booleans
        cast(true as boolean) as is_granted,

        ---------- timestamps
        cast(null as timestamp) as recorded_at
    from customers
    cross join channels

)

select * from consents
