-- Feeds that an earlier run, or an earlier build of this run, has known: a feed that vanishes has no events of its own.
with earlier as (

    select *
    from {{ earlier_runs('rpt_feed_freshness', {
        'as_of_date': 'date', 'feed': 'string', 'latest_event_on': 'date', 'status': 'string',
    }) }} as freshness

),

run as (

    select * from {{ ref('int_run') }}

),

known as (

    select
        cast(run.as_of_date as date) as as_of_date,
        cast(earlier.feed as string) as feed,
        cast(max(earlier.latest_event_on) as date) as latest_event_on
    from earlier
    inner join run
        on earlier.as_of_date <= run.as_of_date
            and earlier.latest_event_on > {{ add_days('run.as_of_date', -393) }}
    where earlier.status <> 'too_new'
    group by run.as_of_date, earlier.feed

)

select * from known
