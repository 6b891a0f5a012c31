-- The shop sells single orders: there are no subscriptions, only the shape that the contract asks for.

with no_subscriptions as (

    select
        cast(null as string) as subscription_id,
        cast(null as string) as customer_id,
        cast(null as string) as plan,
        cast(null as string) as billing_period,
        cast(null as decimal(18, 2)) as monthly_fee,
        cast(null as date) as started_on,
        cast(null as date) as ended_on,
        cast(null as date) as end_announced_on,
        cast(null as date) as commitment_ends_on
    where false

)

select * from no_subscriptions
