{{ config(severity='warn') }}

-- A feed that delivers far fewer events than usual, or no contacts for a long time.
with feeds as (

    select * from {{ ref('rpt_feed_freshness') }}

),

run as (

    select * from {{ ref('int_run') }}

),

thin as (

    select
        feeds.feed,
        feeds.status,
        feeds.events_last_28_days,
        feeds.usual_events_per_28_days
    from feeds
    inner join run on feeds.as_of_date = run.as_of_date
    where feeds.status in ('thin', 'quiet')

)

select * from thin
