{{ config(materialized='table') }}

-- Rows of one subscription follow each other: a row ends at the latest where the next one starts, and is compared with
-- the one before it. Different subscriptions run side by side. An announced end is the one of the notice, which a later
-- row does not move.
with subscriptions as (

    select * from {{ valid_rows('subscriptions') }}

),

neighbours as (

    select
        *,
        min(started_on) over (partition by customer_id, subscription_id) as first_started_on,
        lead(started_on) over (partition by customer_id, subscription_id order by started_on) as next_started_on,
        lag(ended_on) over (partition by customer_id, subscription_id order by started_on) as earlier_ended_on,
        lag(plan) over (partition by customer_id, subscription_id order by started_on) as earlier_plan,
        lag(billing_period) over (partition by customer_id, subscription_id order by started_on)
            as earlier_billing_period,
        lag(monthly_fee) over (partition by customer_id, subscription_id order by started_on) as earlier_fee
    from subscriptions

),

periods as (

    select
        cast(subscription_id as string) as subscription_id,
        cast(customer_id as string) as customer_id,
        cast(plan as string) as plan,
        cast(billing_period as string) as billing_period,
        cast(monthly_fee as decimal(18, 2)) as monthly_fee,
        cast(started_on as date) as started_on,
        cast(case when next_started_on < ended_on or ended_on is null then next_started_on else ended_on end as date)
            as ended_on,
        cast(case when end_announced_on >= first_started_on then end_announced_on end as date) as end_announced_on,
        cast(case when end_announced_on >= first_started_on then ended_on end as date) as announced_end_on,
        cast(commitment_ends_on as date) as commitment_ends_on,
        cast(earlier_ended_on as date) as earlier_ended_on,
        cast(earlier_plan as string) as earlier_plan,
        cast(earlier_billing_period as string) as earlier_billing_period,
        cast(earlier_fee as decimal(18, 2)) as earlier_fee
    from neighbours

)

select * from periods
