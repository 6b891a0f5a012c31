{{ config(materialized='table') }}

-- Account events (invoices, tickets, contacts, changes of plan and fee) summed once per customer and day segment.
-- int_day_segments defines the segments; customer_features adds them up to windows of 30 to 365 days. The lists of
-- events stand in dbt_project/macros/windows.sql: of some the number counts, of others the money or the latest day.
with account_events as (

    select * from {{ ref('int_account_events') }}

),

day_segments as (

    select * from {{ ref('int_day_segments') }}

),

last_feature_date as (

    select max(as_of_date) as last_day
    from {{ ref('int_feature_dates') }}

),

-- Segment 0 holds all days before the first window: open tickets, overdue invoices and latest days count them too.
in_segments as (

    select
        account_events.*,
        coalesce(day_segments.segment_number, 0) as segment_number
    from account_events
    inner join last_feature_date on account_events.known_on <= last_feature_date.last_day
    left join day_segments on account_events.known_on = day_segments.day

),

totals as (

    select
        customer_id,
        cast(segment_number as integer) as segment_number,
        {% for event in account_event_counts() -%}
            cast(count(case when event = '{{ event }}' then 1 end) as integer) as {{ event }}_events,
        {% endfor -%}
        {% for event in account_event_amounts() -%}
            cast(sum(case when event = '{{ event }}' then amount_cents else 0 end) as bigint) as {{ event }}_cents,
        {% endfor -%}
        {% for event in account_event_recencies() -%}
            max(case when event = '{{ event }}' then known_on end) as last_{{ event }}_on
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from in_segments
    group by customer_id, segment_number

)

-- Sorted by customer: later aggregations by customer then run several times faster.
select * from totals
order by customer_id, segment_number
