{{ config(materialized='table') }}

with activity as (

    select * from {{ ref('int_valid_activity') }}

),

activity_map as (

    select * from {{ ref('activity_map') }}

),

day_segments as (

    select * from {{ ref('int_day_segments') }}

),

meanings as (

    select
        activity_type,
        max(case when meaning = 'engagement' and counts_as_event then 1 else 0 end) as engagement,
        max(case when meaning = 'price_interest' and counts_as_event then 1 else 0 end) as price_interest,
        max(case when meaning = 'leaving_signal' and counts_as_event then 1 else 0 end) as leaving_signal,
        max(case when meaning = 'purchase' and counts_as_event then 1 else 0 end) as purchase,
        max(case when meaning = 'purchase' then 1 else 0 end) as purchase_money
    from activity_map
    group by activity_type

),

events as (

    select
        activity.customer_id,
        activity.occurred_on,
        day_segments.segment_number,
        day_segments.day_in_segment,
        activity.quantity,
        cast(coalesce(activity.amount, 0) * 100 as bigint) as amount_cents,
        meanings.*
    from activity
    inner join day_segments on activity.occurred_on = day_segments.day
    inner join meanings on activity.activity_type = meanings.activity_type

),

totals as (

    select
        customer_id,
        segment_number,
        cast(sum(engagement) as integer) as engagement_events,
        cast(sum(engagement * quantity) as bigint) as engagement_quantity,
        cast({{ count_bits('bit_or(case when engagement = 1 then ' ~ day_bit('day_in_segment') ~ ' end)') }} as integer)
            as engagement_active_days,
        cast(sum(price_interest) as integer) as price_interest_events,
        cast(sum(leaving_signal) as integer) as leaving_signal_events,
        cast(sum(purchase) as integer) as purchases,
        cast(sum(purchase_money * amount_cents) as bigint) as purchase_amount_cents,
        max(case when engagement = 1 then occurred_on end) as last_engagement_on,
        max(case when price_interest = 1 then occurred_on end) as last_price_interest_on,
        max(case when leaving_signal = 1 then occurred_on end) as last_leaving_signal_on,
        max(case when purchase = 1 then occurred_on end) as last_purchase_on
    from events
    group by customer_id, segment_number

)

select * from totals
