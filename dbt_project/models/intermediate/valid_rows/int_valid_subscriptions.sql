with checked_subscriptions as (

    select * from {{ ref('int_checked_subscriptions') }}

),

valid_subscriptions as (

    select
        subscription_id,
        customer_id,
        plan,
        billing_period,
        monthly_fee,
        started_on,
        ended_on,
        commitment_ends_on
    from checked_subscriptions
    where quarantine_reason is null

)

select * from valid_subscriptions
