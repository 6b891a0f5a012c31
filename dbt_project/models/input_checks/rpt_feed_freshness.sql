{{ run_log() }}

-- Whether each feed still delivers: silent for longer than ever before, far fewer events than usual in four weeks, or a
-- last week unlike any of its year.

{% set may_be_quiet = "feed = 'retention contacts' or " ~ is_declared('feed', 'stopped', 'warn') -%}
{% set may_swing = "feed in ('customers', 'subscriptions') or " ~ may_be_quiet -%}

with feed_days as (

    select * from {{ ref('int_feed_days') }}

),

known_feeds as (

    select * from {{ ref('int_known_feeds') }}

),

limits as (

    select * from {{ ref('int_monitoring_limits') }}

),

run as (

    select * from {{ ref('int_run') }}

),

-- The last seven days of each feed against the eight weeks before them, beside the same ratio at every earlier day of
-- the year: what a feed has done before is no fault.
first_days as (

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
        first_days.feed,
        numbered_days.days_ago,
        first_days.first_days_ago - numbered_days.days_ago as days_known,
        coalesce(feed_days.events, 0) as events
    from first_days
    inner join numbered_days on first_days.first_days_ago >= numbered_days.days_ago
    left join feed_days on first_days.feed = feed_days.feed and numbered_days.day = feed_days.day

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
feed_weeks as (

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

),

gaps as (

    select
        *,
        {{ days_between(
            'lag(day) over (partition by as_of_date, feed order by day)', 'day'
        ) }} as days_since_previous
    from feed_days

),

feeds as (

    select
        as_of_date,
        feed,
        count(*) as event_days,
        max(day) as latest_event_on,
        min(days_ago) as silent_days,
        max(days_since_previous) as longest_gap_days,
        sum(case when days_ago < 28 then events else 0 end) as events_last_28_days,
        sum(case when days_ago >= 28 then events else 0 end) as earlier_events,
        max(days_ago) - 27 as earlier_days
    from gaps
    group by as_of_date, feed

),

-- A feed that was known stays known with too few events to be known by, and has stopped without any.
with_vanished as (

    select
        coalesce(feeds.as_of_date, known_feeds.as_of_date) as as_of_date,
        coalesce(feeds.feed, known_feeds.feed) as feed,
        coalesce(feeds.event_days, 0) as event_days,
        coalesce(feeds.latest_event_on, known_feeds.latest_event_on) as latest_event_on,
        coalesce(
            feeds.silent_days, {{ days_between('known_feeds.latest_event_on', 'known_feeds.as_of_date') }}
        ) as silent_days,
        feeds.longest_gap_days,
        coalesce(feeds.events_last_28_days, 0) as events_last_28_days,
        coalesce(feeds.earlier_events, 0) as earlier_events,
        coalesce(feeds.earlier_days, 0) as earlier_days,
        known_feeds.feed is not null as was_known
    from feeds
    full outer join known_feeds on feeds.feed = known_feeds.feed and feeds.as_of_date = known_feeds.as_of_date

),

compared as (

    select
        feeds.*,
        feeds.earlier_events * 28e0 / nullif(greatest(feeds.earlier_days, 0), 0) as usual_events,
        feeds.event_days = 0
        or feeds.silent_days > greatest(limits.silent_days, limits.silent_gaps * feeds.longest_gap_days) as is_silent,
        feeds.event_days >= limits.feed_days or feeds.was_known as is_known,
        limits.feed_volume_share,
        feed_weeks.events_last_7_days,
        feed_weeks.usual_events_per_7_days,
        feed_weeks.ratio < least(limits.week_from, limits.week_beyond_own * feed_weeks.lowest_ratio_before)
        and {{ week_differs() }} as has_fallen,
        feed_weeks.ratio > greatest(limits.week_to, feed_weeks.highest_ratio_before / limits.week_beyond_own)
        and {{ week_differs() }} as has_risen
    from with_vanished as feeds
    cross join limits
    left join feed_weeks on feeds.feed = feed_weeks.feed

),

-- Contacts depend on actions being executed: a silent feed of contacts is a question, not a fault. So is one that the
-- source declares as allowed to stop. How many customers are won depends on campaigns and seasons: a week with few of
-- them, or many, is no fault.
freshness as (

    select
        cast(as_of_date as date) as as_of_date,
        cast(feed as string) as feed,
        cast(latest_event_on as date) as latest_event_on,
        cast(silent_days as integer) as silent_days,
        cast(longest_gap_days as integer) as longest_gap_days,
        cast(event_days as bigint) as event_days,
        cast(events_last_28_days as bigint) as events_last_28_days,
        cast(round(usual_events, 1) as double) as usual_events_per_28_days,
        cast(events_last_7_days as bigint) as events_last_7_days,
        cast(round(usual_events_per_7_days, 1) as double) as usual_events_per_7_days,
        cast(
            case
                when {{ is_declared('feed', 'stopped', 'ignore') }} then 'exempt'
                when not is_known then 'too_new'
                when is_silent and ({{ may_be_quiet }}) then 'quiet'
                when is_silent then 'stopped'
                when has_fallen and not ({{ may_swing }}) then 'fallen'
                when has_risen and not ({{ may_swing }}) then 'risen'
                when feed <> 'retention contacts' and has_fallen then 'thin'
                when feed <> 'retention contacts' and usual_events >= 28
                    and events_last_28_days < feed_volume_share * usual_events then 'thin'
                else 'ok'
            end as string
        ) as status
    from compared

)

select * from freshness
