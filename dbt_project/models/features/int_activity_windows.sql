with activity_segments as (

    select * from {{ ref('int_activity_segments') }}

),

segment_windows as (

    select * from {{ ref('int_segment_windows') }}

),

windows_with_activity as (

    select *
    from segment_windows
    where in_last_365_days = 1 or in_at_risk_days = 1

),

totals as (

    select
        activity_segments.customer_id,
        windows_with_activity.as_of_date,
        {% for name in ['engagement_events', 'engagement_active_days', 'price_interest_events',
                        'leaving_signal_events', 'purchases'] -%}
            {{ sum_over_windows(name, name, 'integer') }},
        {% endfor -%}
        {{ sum_over_windows('engagement_quantity', 'engagement_quantity') }},
        {{ sum_over_windows('purchase_amount_cents', 'purchase_amount_cents') }},
        sum((engagement_events + purchases) * in_at_risk_days) as activity_in_at_risk_days,
        {% for meaning in ['engagement', 'price_interest', 'leaving_signal', 'purchase'] -%}
            max(last_{{ meaning }}_on) as last_{{ meaning }}_on
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from activity_segments
    inner join windows_with_activity
        on activity_segments.segment_number = windows_with_activity.segment_number
    group by activity_segments.customer_id, windows_with_activity.as_of_date

)

select * from totals
