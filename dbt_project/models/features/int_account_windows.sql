-- Account events summed over the windows that end on each date. in_last_30_days and its like are 1 for the segments
-- of a window and 0 for earlier ones; later segments are not joined.
with account_segments as (

    select * from {{ ref('int_account_segments') }}

),

segment_windows as (

    select * from {{ ref('int_segment_windows') }}

),

totals as (

    select
        account_segments.customer_id,
        segment_windows.as_of_date,
        {% for event in account_event_counts() -%}
            {{ sum_over_windows(event ~ '_events', event ~ '_events', 'integer') }},
        {% endfor -%}
        {% for event in account_event_amounts() -%}
            {{ sum_over_windows(event ~ '_cents', event ~ '_cents') }},
        {% endfor -%}
        {% for event in account_event_recencies() -%}
            max(last_{{ event }}_on) as last_{{ event }}_on,
        {% endfor -%}
        cast(sum(ticket_opened_events - ticket_resolved_events) as integer) as open_tickets,
        cast(sum(payment_late_events - late_payment_settled_events) as integer) as overdue_invoices
    from account_segments
    inner join segment_windows on account_segments.segment_number = segment_windows.segment_number
    group by account_segments.customer_id, segment_windows.as_of_date

)

select * from totals
