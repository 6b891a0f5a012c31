-- A feed without events for far longer than at any time of its last year: its customers would look inactive.
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
