-- Revenue within the horizon of a decision: fees of the days with a running subscription (a fee is money per 30 days,
-- as in monthly_revenue), and purchases less refunds. Revenue counts as it accrues, not when invoices fall due, so that
-- an annual invoice does not fall into one month.
with decisions as (

    select * from {{ ref('int_outcome_decisions') }}

),

subscriptions as (

    select * from {{ ref('int_subscription_periods') }}

),

activity as (

    select * from {{ valid_rows('activity') }}

),

activity_map as (

    select * from {{ ref('activity_map') }}

),

fees as (

    select
        decisions.action_id,
        sum(
            cast(subscriptions.monthly_fee * 100 as bigint) * {{ days_between(
                'greatest(subscriptions.started_on, ' ~ add_days('decisions.as_of_date', 1) ~ ')',
                'least(coalesce(subscriptions.ended_on, ' ~ add_days('decisions.horizon_ends_on', 1) ~ '), '
                ~ add_days('decisions.horizon_ends_on', 1) ~ ')',
            ) }}
        ) as fee_cents_days
    from decisions
    inner join subscriptions
        on decisions.customer_id = subscriptions.customer_id
            and decisions.horizon_ends_on >= subscriptions.started_on
            and (
                subscriptions.ended_on is null
                or subscriptions.ended_on > {{ add_days('decisions.as_of_date', 1) }}
            )
    group by decisions.action_id

),

purchase_types as (

    select distinct activity_type
    from activity_map
    where meaning = 'purchase'

),

purchases as (

    select
        decisions.action_id,
        sum(cast(coalesce(activity.amount, 0) * 100 as bigint)) as purchase_cents
    from activity
    inner join purchase_types on activity.activity_type = purchase_types.activity_type
    inner join decisions
        on activity.customer_id = decisions.customer_id
            and activity.occurred_on > decisions.as_of_date
            and activity.occurred_on <= decisions.horizon_ends_on
    group by decisions.action_id

),

revenue as (

    select
        cast(decisions.action_id as varchar) as action_id,
        cast(coalesce(fees.fee_cents_days, 0) as bigint) as fee_cents_days,
        cast(coalesce(purchases.purchase_cents, 0) as bigint) as purchase_cents
    from decisions
    left join fees on decisions.action_id = fees.action_id
    left join purchases on decisions.action_id = purchases.action_id

)

select * from revenue
