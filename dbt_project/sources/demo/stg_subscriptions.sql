with subscriptions as (

    select * from {{ source('demo', 'subscriptions') }}

),

renamed as (

    select
        ---------- ids
        cast(subscription_id as string) as subscription_id,
        cast(customer_id as string) as customer_id,

        ---------- text
        cast(lower(plan) as string) as plan,
        cast(lower(billing_period) as string) as billing_period,

        ---------- money
        {{ countable('monthly_fee', 'decimal(18, 2)') }} as monthly_fee,

        ---------- dates
        cast(started_on as date) as started_on,
        cast(ended_on as date) as ended_on,
        cast(null as date) as end_announced_on,
        cast(commitment_ends_on as date) as commitment_ends_on
    from subscriptions

)

select * from renamed
