{% set feeds = {
    'customers': ['customers', 'signed_up_on'],
    'subscriptions': ['subscriptions', 'started_on'],
    'payments due': ['payments', 'due_on'],
    'payments settled': ['payments', 'paid_on'],
    'support tickets': ['support_tickets', 'opened_at'],
    'retention contacts': ['retention_contacts', 'contacted_on'],
} -%}

with run as (

    select * from {{ ref('int_run') }}

),

activity_days as (

    select * from {{ ref('int_activity_days') }}

),

arrivals as (

    {% for feed, place in feeds.items() -%}
        select
            '{{ feed }}' as feed,
            cast({{ place[1] }} as date) as day,
            count(*) as events
        from {{ valid_rows(place[0]) }} as valid_{{ place[0] }}
        where {{ place[1] }} is not null
        group by 1, 2
        union all
    {% endfor %}
    select
        'activity: ' || activity_type as feed,
        occurred_on as day,
        events
    from activity_days
    where quarantine_reason is null and occurred_on is not null

),

-- The last year defines the usual volume; the last weeks are compared with it.
feed_days as (

    select
        cast(run.as_of_date as date) as as_of_date,
        cast(arrivals.feed as string) as feed,
        cast(arrivals.day as date) as day,
        cast(arrivals.events as bigint) as events,
        cast({{ days_between('arrivals.day', 'run.as_of_date') }} as integer) as days_ago
    from arrivals
    inner join run
        on arrivals.day <= run.as_of_date
            and arrivals.day > {{ add_days('run.as_of_date', -393) }}

)

select * from feed_days
