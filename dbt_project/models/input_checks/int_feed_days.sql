{% set feeds = {
    'customers': ['stg_customers', 'signed_up_on'],
    'subscriptions': ['stg_subscriptions', 'started_on'],
    'payments due': ['stg_payments', 'due_on'],
    'payments settled': ['stg_payments', 'paid_on'],
    'support tickets': ['stg_support_tickets', 'opened_at'],
    'retention contacts': ['stg_retention_contacts', 'contacted_on'],
    'activity': ['stg_activity', 'occurred_at'],
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
        from {{ ref(place[0]) }}
        where {{ place[1] }} is not null
        group by 1, 2
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

-- The last year defines the usual volume; the last weeks are compared with it.
feed_days as (

    select
        cast(run.as_of_date as date) as as_of_date,
        cast(arrivals.feed as varchar) as feed,
        cast(arrivals.day as date) as day,
        cast(arrivals.events as bigint) as events,
        cast({{ days_between('arrivals.day', 'run.as_of_date') }} as integer) as days_ago
    from arrivals
    inner join run
        on arrivals.day <= run.as_of_date
            and arrivals.day > {{ add_days('run.as_of_date', -393) }}

)

select * from feed_days
