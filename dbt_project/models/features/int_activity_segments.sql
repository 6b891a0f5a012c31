{{ config(materialized='table') }}

-- Activity summed once per customer and day segment, by what its type means; int_activity_windows adds the segments
-- up to windows of 30 to 365 days. Days before the first window are left out: no feature reaches back that far.
with activity as (

    select * from {{ valid_rows('activity') }}

),

activity_map as (

    select * from {{ ref('int_activity_map') }}

),

day_segments as (

    select * from {{ ref('int_day_segments') }}

),

meanings as (

    select
        activity_type,
        cast(max(case when meaning = 'engagement' and counts_as_event then 1 else 0 end) = 1 as boolean)
            as is_engagement,
        cast(max(case when meaning = 'price_interest' and counts_as_event then 1 else 0 end) = 1 as boolean)
            as is_price_interest,
        cast(max(case when meaning = 'leaving_signal' and counts_as_event then 1 else 0 end) = 1 as boolean)
            as is_leaving_signal,
        cast(max(case when meaning = 'purchase' and counts_as_event then 1 else 0 end) = 1 as boolean)
            as is_purchase,
        cast(max(case when meaning = 'purchase' then 1 else 0 end) = 1 as boolean) as is_purchase_money
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
        meanings.is_engagement,
        meanings.is_price_interest,
        meanings.is_leaving_signal,
        meanings.is_purchase,
        meanings.is_purchase_money
    from activity
    -- The bounds repeat the equality in a form that reaches the raw file: where that is ordered by time, a nightly run
    -- reads only the days of its windows, however long the history is.
    inner join day_segments
        on activity.occurred_on = day_segments.day
            and activity.occurred_at >= cast(day_segments.day as timestamp)
            and activity.occurred_at < cast({{ add_days('day_segments.day', 1) }} as timestamp)
    inner join meanings on activity.activity_type = meanings.activity_type

),

totals as (

    select
        customer_id,
        segment_number,
        cast(count(*) filter (where is_engagement) as integer) as engagement_events,
        cast(coalesce(sum(quantity) filter (where is_engagement), 0) as bigint) as engagement_quantity,
        cast({{ count_bits('bit_or(' ~ day_bit('day_in_segment') ~ ') filter (where is_engagement)') }} as integer)
            as engagement_active_days,
        cast(count(*) filter (where is_price_interest) as integer) as price_interest_events,
        cast(count(*) filter (where is_leaving_signal) as integer) as leaving_signal_events,
        cast(count(*) filter (where is_purchase) as integer) as purchases,
        cast(coalesce(sum(amount_cents) filter (where is_purchase_money), 0) as bigint) as purchase_amount_cents,
        max(occurred_on) filter (where is_engagement) as last_engagement_on,
        max(occurred_on) filter (where is_price_interest) as last_price_interest_on,
        max(occurred_on) filter (where is_leaving_signal) as last_leaving_signal_on,
        max(occurred_on) filter (where is_purchase) as last_purchase_on
    from events
    group by customer_id, segment_number

)

-- Ordered by customer, neighbouring rows fall into the same groups of later aggregations, which are several times
-- faster.
select * from totals
order by customer_id, segment_number
