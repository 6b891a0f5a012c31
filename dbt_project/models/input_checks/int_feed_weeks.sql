-- The last seven days of each feed against the eight weeks before them, beside the same ratio at every earlier day of
-- the year: what a feed has done before is no fault.
with feed_days as (

    select * from {{ ref('int_feed_days') }}

),

run as (

    select * from {{ ref('int_run') }}

),

feeds as (

    select
        feed,
        max(days_ago) as first_days_ago
    from feed_days
    group by feed

),

calendar as (

    {{ day_series(add_days('as_of_date', -392), 'as_of_date') }}
    from run

),

numbered_days as (

    select
        calendar.day,
        {{ days_between('calendar.day', 'run.as_of_date') }} as days_ago
    from calendar
    cross join run

),

daily as (

    select
        feeds.feed,
        numbered_days.days_ago,
        feeds.first_days_ago - numbered_days.days_ago as days_known,
        coalesce(feed_days.events, 0) as events
    from feeds
    inner join numbered_days on feeds.first_days_ago >= numbered_days.days_ago
    left join feed_days on feeds.feed = feed_days.feed and numbered_days.day = feed_days.day

),

weeks as (

    select
        feed,
        days_ago,
        days_known,
        sum(events) over (
            partition by feed
            order by days_ago desc
            rows between 6 preceding and current row
        ) as events_last_7_days,
        sum(events) over (
            partition by feed
            order by days_ago desc
            rows between 62 preceding and 7 preceding
        ) / 8 as usual_events_per_7_days
    from daily

),

ratios as (

    select
        *,
        events_last_7_days / nullif(usual_events_per_7_days, 0) as ratio
    from weeks
    where days_known >= 62

),

-- Windows that share days with the last seven say nothing of what was usual before.
compared as (

    select
        cast(feed as string) as feed,
        cast(max(case when days_ago = 0 then events_last_7_days end) as bigint) as events_last_7_days,
        cast(max(case when days_ago = 0 then usual_events_per_7_days end) as double) as usual_events_per_7_days,
        cast(max(case when days_ago = 0 then ratio end) as double) as ratio,
        cast(min(case when days_ago >= 7 then ratio end) as double) as lowest_ratio_before,
        cast(max(case when days_ago >= 7 then ratio end) as double) as highest_ratio_before,
        cast(count(case when days_ago >= 7 then ratio end) as bigint) as days_compared
    from ratios
    group by feed

)

select * from compared
