{#-
    Revenue of customers within windows, as a select of customer_id, as_of_date, horizon_ends_on, fee_cents_days and
    purchase_cents: fees of the days with a running subscription (a fee is money per 30 days, as in monthly_revenue),
    and purchases less refunds. Revenue counts as it accrues, not when invoices fall due, so that an annual invoice does
    not fall into one month.

    windows: a CTE with customer_id, as_of_date (the window begins the day after) and horizon_ends_on (its last day).
-#}
{% macro revenue_within(windows) %}
    select
        revenue_parts.customer_id,
        revenue_parts.as_of_date,
        revenue_parts.horizon_ends_on,
        sum(revenue_parts.fee_cents_days) as fee_cents_days,
        sum(revenue_parts.purchase_cents) as purchase_cents
    from (
        select
            {{ windows }}.customer_id,
            {{ windows }}.as_of_date,
            {{ windows }}.horizon_ends_on,
            cast(fees.monthly_fee * 100 as bigint) * {{ days_between(
                'greatest(fees.started_on, ' ~ add_days(windows ~ '.as_of_date', 1) ~ ')',
                'least(coalesce(fees.ended_on, ' ~ add_days(windows ~ '.horizon_ends_on', 1) ~ '), '
                ~ add_days(windows ~ '.horizon_ends_on', 1) ~ ')',
            ) }} as fee_cents_days,
            0 as purchase_cents
        from {{ windows }}
        inner join {{ ref('int_subscription_periods') }} as fees
            on {{ windows }}.customer_id = fees.customer_id
                and {{ windows }}.horizon_ends_on >= fees.started_on
                and (fees.ended_on is null or fees.ended_on > {{ add_days(windows ~ '.as_of_date', 1) }})
        union all
        select
            {{ windows }}.customer_id,
            {{ windows }}.as_of_date,
            {{ windows }}.horizon_ends_on,
            0 as fee_cents_days,
            cast(coalesce(purchases.amount, 0) * 100 as bigint) as purchase_cents
        from {{ windows }}
        inner join {{ valid_rows('activity') }} as purchases
            on {{ windows }}.customer_id = purchases.customer_id
                -- in a form that reaches the raw file: where that is ordered by time, only these days are read
                and purchases.occurred_at >= cast({{ add_days(windows ~ '.as_of_date', 1) }} as timestamp)
                and purchases.occurred_at < cast({{ add_days(windows ~ '.horizon_ends_on', 1) }} as timestamp)
        inner join (
            select distinct activity_type
            from {{ ref('int_activity_map') }}
            where meaning = 'purchase'
        ) as purchase_types on purchases.activity_type = purchase_types.activity_type
    ) as revenue_parts
    group by revenue_parts.customer_id, revenue_parts.as_of_date, revenue_parts.horizon_ends_on
{% endmacro %}
