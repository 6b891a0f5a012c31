-- Signals of the reasons for which a customer may leave, 0 (no sign) to 2 (strong). Declining engagement starts below
-- three quarters of the usual pace, or after two usual gaps, so that random variation gives no signal. Dormant is
-- hardly any use for half a year, fewer than three days of it, with at least that tenure.
with features as (

    select * from {{ ref('customer_features') }}

),

signals as (

    select
        cast(customer_id as varchar) as customer_id,
        cast(as_of_date as date) as as_of_date,
        cast(least(overdue_invoices + 0.5 * late_payments_last_90_days, 2) as double) as signal_payment_failing,
        cast(
            least(0.5 * tickets_opened_last_30_days + 0.5 * open_tickets + 0.75 * poor_ratings_last_90_days, 2)
            as double
        ) as signal_support_pain,
        cast(
            least(
                case when price_increases_last_90_days > 0 then 1.0 else 0.0 end
                + 0.5 * least(price_interest_events_last_30_days, 2), 2
            ) as double
        ) as signal_price_shock,
        cast(
            least(greatest(
                case
                    when engagement_events_last_90_days >= 6
                        then 4 * (0.75 - coalesce(engagement_last_30_over_90_days, 0))
                    else 0
                end,
                case
                    when engagement_active_days_last_365_days >= 3 then coalesce(silence_over_usual_gap, 0) - 2
                    else 0
                end,
                0
            ), 2) as double
        ) as signal_declining_engagement,
        cast(
            case
                when tenure_days >= 180 then 2 * greatest(1 - engagement_active_days_last_180_days / 3.0, 0) else 0
            end as double
        ) as signal_dormant,
        cast(least(leaving_signal_events_last_30_days + 2 * announced_fee_share, 2) as double) as signal_exit_intent
    from features

)

select * from signals
