-- A feed silent for far longer than ever in its last year: its customers would look silent and be called for nothing.
with feeds as (

    select * from {{ ref('rpt_feed_freshness') }}

),

run as (

    select * from {{ ref('int_run') }}

),

stopped as (

    select
        feeds.feed,
        feeds.latest_event_on,
        feeds.silent_days,
        feeds.longest_gap_days
    from feeds
    inner join run on feeds.as_of_date = run.as_of_date
    where feeds.status = 'stopped'

)

select * from stopped
