{% set feeds = {
    'customers': ['customers', 'signed_up_on'],
    'subscriptions': ['subscriptions', 'started_on'],
    'payments due': ['payments', 'due_on'],
    'payments settled': ['payments', 'paid_on'],
    'support tickets': ['support_tickets', 'opened_at'],
    'retention contacts': ['retention_contacts', 'contacted_on'],
    'activity': ['activity', 'occurred_at'],
} -%}

with run as (

    select * from {{ ref('int_run') }}

),

arrivals as (

    {% for feed, place in feeds.items() -%}
        select
            {% if feed == 'activity' -%}
                'activity: ' || activity_type as feed,
            {%- else -%}
                '{{ feed }}' as feed,
            {%- endif %}
            cast({{ place[1] }} as date) as day,
            count(*) as events
        from {{ valid_rows(place[0]) }} as valid_{{ place[0] }}
        where {{ place[1] }} is not null
        group by 1, 2
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

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
