-- Feeds that have stopped, or whose last seven days hold far fewer or more events than ever before.
with feeds as (

    select * from {{ ref('rpt_feed_freshness') }}

),

run as (

    select * from {{ ref('int_run') }}

),

problems as (

    select
        cast(feeds.as_of_date as date) as as_of_date,
        cast(feeds.feed as string) as subject,
        cast(null as string) as staging_model,
        cast(feeds.status as string) as problem,
        cast(case
            when feeds.status <> 'stopped' then feeds.events_last_7_days / nullif(feeds.usual_events_per_7_days, 0)
        end as double) as share,
        cast(case when feeds.status = 'stopped' then 0 else feeds.events_last_7_days end as bigint) as rows_now,
        cast(round(feeds.usual_events_per_7_days, 0) as bigint) as rows_then,
        cast(null as date) as compared_with,
        cast(null as string) as first_values,
        cast('feed ' || feeds.feed || case
            when feeds.status = 'stopped' and feeds.event_days = 0
                then {{ error_text(
                    " has stopped: no valid row is left, where an earlier run knew rows up to ", "feeds.latest_event_on"
                ) }}
            when feeds.status = 'stopped'
                then {{ error_text(
                    " has stopped: no valid row since ", "feeds.latest_event_on", ", for ", "feeds.silent_days", " days"
                ) }} || coalesce({{ error_text(
                    " (longest gap before: ", "feeds.longest_gap_days", ")"
                ) }}, '')
            else {{ error_text(
                ": ", "feeds.events_last_7_days", " valid rows in the 7 days up to ", "feeds.as_of_date",
                ", where ", "feeds.usual_events_per_7_days", " are usual (",
                per_cent('feeds.events_last_7_days / nullif(feeds.usual_events_per_7_days, 0)'), " %)"
            ) }}
        end as string) as description
    from feeds
    inner join run on feeds.as_of_date = run.as_of_date
    where feeds.status in ('stopped', 'fallen', 'risen')

)

select * from problems
