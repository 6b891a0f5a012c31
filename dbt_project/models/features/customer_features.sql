{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='as_of_date',
    on_schema_change='fail',
    pre_hook='{{ forget_dates() }}',
) }}

-- All features of a customer at a date. What happened was summed over the windows before; here it is named, typed and
-- combined. customer_features.yml says what each column means and which role it has.
with at_risk as (

    select * from {{ ref('int_customer_as_of_dates') }}

),

feature_dates as (

    select * from {{ ref('int_feature_dates') }}

),

subscription_states as (

    select * from {{ ref('int_subscription_states') }}

),

activity_windows as (

    select * from {{ ref('int_activity_windows') }}

),

account_segments as (

    select * from {{ ref('int_account_segments') }}

),

segment_windows as (

    select * from {{ ref('int_segment_windows') }}

),

-- Account events summed over the windows that end on each date. in_last_30_days and its like are 1 for the segments
-- of a window and 0 for earlier ones; later segments are not joined.
account_windows as (

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

),

features as (

    select
        ----------  keys
        cast(at_risk.customer_id as string) as customer_id,
        cast(at_risk.as_of_date as date) as as_of_date,
        cast(feature_definition as string) as feature_definition,

        ----------  who the customer is
        cast(region as string) as region,
        cast(acquisition_channel as string) as acquisition_channel,
        cast(segment as string) as segment,
        cast(tenure_days as integer) as tenure_days,

        ----------  subscription
        cast(plan as string) as plan,
        cast(billing_period as string) as billing_period,
        cast(monthly_fee as double) as monthly_fee,
        cast(days_in_current_period as integer) as days_in_current_period,
        cast(days_to_commitment_end as integer) as days_to_commitment_end,
        cast(coalesce(announced_fee_share, 0) as double) as announced_fee_share,
        cast(days_to_announced_end as integer) as days_to_announced_end,
        {{ windowed_count('plan_changed_events', 'plan_changes', [365]) }},
        {{ windowed_count('price_increased_events', 'price_increases', [90, 365]) }},
        {{ windowed_money('price_increased_cents', 'price_increase_amount', [90, 365]) }},

        ----------  money
        cast(round(
            coalesce(monthly_fee, 0)
            + greatest(coalesce(purchase_amount_cents_last_365_days, 0), 0) / 100
            * 30 / days_observed, 2
        ) as double) as monthly_revenue,
        {{ windowed_count('purchases', 'purchases') }},
        {{ windowed_money('purchase_amount_cents', 'purchase_amount') }},
        cast(round(
            purchase_amount_cents_last_365_days / 100 / nullif(purchases_last_365_days, 0), 2
        ) as double) as average_purchase_amount_last_365_days,
        {{ days_between('last_purchase_on', 'at_risk.as_of_date') }} as days_since_last_purchase,

        ----------  engagement
        {{ windowed_count('engagement_events', 'engagement_events') }},
        {{ windowed_count('engagement_quantity', 'engagement_quantity', type='bigint') }},
        {{ windowed_count('engagement_active_days', 'engagement_active_days') }},
        {{ days_between('last_engagement_on', 'at_risk.as_of_date') }} as days_since_last_engagement,
        cast(engagement_events_last_30_days * 3e0 / nullif(engagement_events_last_90_days, 0) as double)
            as engagement_last_30_over_90_days,
        cast(
            engagement_events_last_90_days * 365e0 / 90 / nullif(engagement_events_last_365_days, 0) as double
        ) as engagement_last_90_over_365_days,
        cast(
            {{ days_between('last_engagement_on', 'at_risk.as_of_date') }}
            * coalesce(engagement_active_days_last_365_days, 0)
            / cast(days_observed as double) as double
        ) as silence_over_usual_gap,

        ----------  looks at prices, signs of leaving
        {{ windowed_count('price_interest_events', 'price_interest_events') }},
        {{ days_between('last_price_interest_on', 'at_risk.as_of_date') }} as days_since_last_price_interest,
        {{ windowed_count('leaving_signal_events', 'leaving_signal_events') }},
        {{ days_between('last_leaving_signal_on', 'at_risk.as_of_date') }} as days_since_last_leaving_signal,

        ----------  payments
        {{ windowed_count('invoice_due_events', 'invoices_due') }},
        {{ windowed_money('invoice_paid_cents', 'amount_paid') }},
        {{ windowed_count('payment_late_events', 'late_payments') }},
        {{ recency('last_payment_late_on', 'days_since_last_late_payment') }},
        cast(coalesce(overdue_invoices, 0) as integer) as overdue_invoices,

        ----------  support
        {{ windowed_count('ticket_opened_events', 'tickets_opened') }},
        {{ windowed_count('poor_rating_events', 'poor_ratings', [90, 365]) }},
        {{ recency('last_ticket_opened_on', 'days_since_last_ticket') }},
        cast(coalesce(open_tickets, 0) as integer) as open_tickets,

        ----------  retention contacts
        {{ windowed_count('contacted_events', 'contacts') }},
        {{ windowed_count('offer_accepted_events', 'offers_accepted', [90, 365]) }},
        {{ recency('last_contacted_on', 'days_since_last_contact') }}
    from at_risk
    inner join feature_dates on at_risk.as_of_date = feature_dates.as_of_date
    left join subscription_states
        on at_risk.customer_id = subscription_states.customer_id
            and at_risk.as_of_date = subscription_states.as_of_date
    left join activity_windows
        on at_risk.customer_id = activity_windows.customer_id
            and at_risk.as_of_date = activity_windows.as_of_date
    left join account_windows
        on at_risk.customer_id = account_windows.customer_id
            and at_risk.as_of_date = account_windows.as_of_date

)

select * from features
