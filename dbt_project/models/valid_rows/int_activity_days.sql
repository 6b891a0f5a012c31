{{ config(materialized='table') }}

-- Events counted by day once a run, for all that asks how many there are: reading them takes longer than anything else.
-- fact_sum moves when a value of any event moves.
with activity as (

    select * from {{ ref('int_checked_activity') }}

),

days as (

    select
        cast(occurred_on as date) as occurred_on,
        cast(case when quarantine_reason is null then activity_type end as string) as activity_type,
        cast(quarantine_reason as string) as quarantine_reason,
        cast(count(*) as bigint) as events,
        cast(sum(
            {{ fingerprint_number(['customer_id', 'occurred_on', 'activity_type', 'quantity', 'amount']) }}
        ) as bigint) as fact_sum
    from activity
    group by 1, 2, 3

)

select * from days
