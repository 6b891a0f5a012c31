with subscriptions as (

    select * from {{ valid_rows('subscriptions') }}

),

feature_dates as (

    select * from {{ ref('int_feature_dates') }}

),

-- An end after the date is not known yet; of several running periods the latest one counts.
running as (

    select
        subscriptions.customer_id,
        feature_dates.as_of_date,
        subscriptions.plan,
        subscriptions.billing_period,
        subscriptions.monthly_fee,
        subscriptions.started_on,
        subscriptions.commitment_ends_on,
        row_number() over (
            partition by subscriptions.customer_id, feature_dates.as_of_date
            order by subscriptions.started_on desc, subscriptions.subscription_id desc
        ) as recency_rank
    from subscriptions
    inner join feature_dates
        on subscriptions.started_on <= feature_dates.as_of_date
            and (subscriptions.ended_on is null or subscriptions.ended_on > feature_dates.as_of_date)

),

states as (

    select
        customer_id,
        as_of_date,
        plan,
        billing_period,
        cast(monthly_fee as double) as monthly_fee,
        {{ days_between('started_on', 'as_of_date') }} as days_in_current_period,
        case
            when commitment_ends_on >= as_of_date then {{ days_between('as_of_date', 'commitment_ends_on') }}
        end as days_to_commitment_end
    from running
    where recency_rank = 1

)

select * from states
