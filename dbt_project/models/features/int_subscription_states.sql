-- What each customer pays for on each date: one row that sums up the paid subscriptions running then.
with periods as (

    select * from {{ ref('int_subscription_periods') }}

),

feature_dates as (

    select * from {{ ref('int_feature_dates') }}

),

-- An end after the date is known once it has been announced.
running as (

    select
        periods.customer_id,
        feature_dates.as_of_date,
        periods.subscription_id,
        periods.plan,
        periods.billing_period,
        periods.monthly_fee,
        periods.started_on,
        case when periods.commitment_ends_on >= feature_dates.as_of_date then periods.commitment_ends_on end
            as commitment_ends_on,
        case when periods.end_announced_on <= feature_dates.as_of_date then periods.announced_end_on end
            as announced_end_on,
        row_number() over (
            partition by periods.customer_id, feature_dates.as_of_date
            order by periods.monthly_fee desc, periods.started_on asc, periods.subscription_id asc
        ) as fee_rank
    from periods
    inner join feature_dates
        on periods.started_on <= feature_dates.as_of_date
            and (periods.ended_on is null or periods.ended_on > feature_dates.as_of_date)
    where periods.monthly_fee > 0

),

-- Subscriptions that run side by side add up; plan and terms are those of the most expensive one.
states as (

    select
        customer_id,
        as_of_date,
        max(case when fee_rank = 1 then plan end) as plan,
        max(case when fee_rank = 1 then billing_period end) as billing_period,
        cast(sum(monthly_fee) as double) as monthly_fee,
        {{ days_between('max(case when fee_rank = 1 then started_on end)', 'as_of_date') }} as days_in_current_period,
        {{ days_between('as_of_date', 'max(case when fee_rank = 1 then commitment_ends_on end)') }}
            as days_to_commitment_end,
        cast(sum(case when announced_end_on is not null then monthly_fee else 0 end) as double)
        / cast(sum(monthly_fee) as double) as announced_fee_share,
        {{ days_between('as_of_date', 'min(announced_end_on)') }} as days_to_announced_end
    from running
    group by customer_id, as_of_date

)

select * from states
