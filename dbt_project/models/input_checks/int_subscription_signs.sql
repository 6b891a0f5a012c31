-- Signs that a source writes its subscriptions otherwise than the contract says; at most one row for each of three
-- mistakes: * last_day_in_ended_on: between most rows of a subscription and the next there is a gap of one day, so
-- ended_on holds the last day with the subscription, where the first day without it belongs. *
-- overwritten_commitment: commitments of older rows reach further than one commitment, so the source overwrites
-- commitment_ends_on at each renewal. A past date then sees an end of the commitment that was not known. *
-- unknown_billing_period: a billing period is neither monthly nor annual, so that a customer billed by the year under
-- another word is taken to be able to leave at any time.
with periods as (

    select * from {{ ref('int_subscription_periods') }}

),

run as (

    select * from {{ ref('int_run') }}

),

limits as (

    select * from {{ ref('int_monitoring_limits') }}

),

lengths as (

    select
        periods.*,
        run.as_of_date,
        {{ days_between('periods.earlier_ended_on', 'periods.started_on') }} as gap_days,
        {{ days_between('periods.started_on', 'periods.commitment_ends_on') }} as commitment_days
    from periods
    inner join run on periods.started_on <= run.as_of_date

),

one_day_gaps as (

    select
        as_of_date,
        sum(case when gap_days = 1 then 1 else 0 end) as gaps,
        sum(case when gap_days in (0, 1) then 1 else 0 end) as pairs,
        min(case when gap_days = 1 then subscription_id end) as first_id
    from lengths
    group by as_of_date

),

recent_commitments as (

    select
        lengths.commitment_days,
        cume_dist() over (order by lengths.commitment_days) as share_up_to,
        count(*) over () as recent_rows
    from lengths
    cross join limits
    where lengths.commitment_days is not null
        and lengths.started_on > {{ add_days('lengths.as_of_date', '-limits.commitment_recent_days') }}

),

-- The length that nine in ten of the recent rows do not exceed.
one_commitment as (

    select min(recent_commitments.commitment_days) as days
    from recent_commitments
    cross join limits
    where recent_commitments.share_up_to >= 0.9 and recent_commitments.recent_rows >= limits.commitment_rows

),

overwritten as (

    select
        lengths.as_of_date,
        count(*) as overwritten_rows,
        min(one_commitment.days) as days,
        min(lengths.subscription_id) as first_id
    from lengths
    cross join limits
    inner join one_commitment on lengths.commitment_days > limits.commitment_tolerance * one_commitment.days
    group by lengths.as_of_date

),

commitments as (

    select count(*) as commitment_rows
    from lengths
    where commitment_days is not null

),

other_billing as (

    select
        as_of_date,
        sum(case when billing_period not in ('monthly', 'annual') then 1 else 0 end) as other_rows,
        count(*) as paid_rows,
        min(case when billing_period not in ('monthly', 'annual') then billing_period end) as first_period
    from lengths
    where monthly_fee > 0
    group by as_of_date

),

found as (

    select
        one_day_gaps.as_of_date,
        'last_day_in_ended_on' as problem,
        one_day_gaps.gaps as rows_now,
        one_day_gaps.pairs as all_rows,
        one_day_gaps.first_id as first_value,
        {{ error_text(
            "stg_subscriptions: in ", "one_day_gaps.gaps", " of ", "one_day_gaps.pairs", " pairs of rows of one subscription a day lies "
            ~ "between ended_on and the next started_on, first in ", "one_day_gaps.first_id", ": ended_on is the first day "
            ~ "without the subscription; where the source holds the last day with it, write ended_on + 1 in stg_subscriptions"
        ) }} as description
    from one_day_gaps
    cross join limits
    where one_day_gaps.gaps >= limits.last_day_rows and 2 * one_day_gaps.gaps > one_day_gaps.pairs
    union all
    select
        overwritten.as_of_date,
        'overwritten_commitment' as problem,
        overwritten.overwritten_rows as rows_now,
        commitments.commitment_rows as all_rows,
        overwritten.first_id,
        {{ error_text(
            "stg_subscriptions: in ", "overwritten.overwritten_rows", " of ", "commitments.commitment_rows",
            " rows commitment_ends_on lies further from started_on than one commitment of ", "overwritten.days",
            " days, first in ", "overwritten.first_id", ": it seems overwritten at each renewal; write a renewal as a new "
            ~ "row of the same subscription_id, with its own started_on and commitment_ends_on"
        ) }} as description
    from overwritten
    cross join commitments
    union all
    select
        other_billing.as_of_date,
        'unknown_billing_period' as problem,
        other_billing.other_rows as rows_now,
        other_billing.paid_rows as all_rows,
        other_billing.first_period,
        {{ error_text(
            "stg_subscriptions: in ", "other_billing.other_rows", " of ", "other_billing.paid_rows",
            " rows with a fee billing_period is neither monthly nor annual, first value \"", "other_billing.first_period",
            "\": these customers are taken to be able to leave at any time; write annual where a year is billed at once, "
            ~ "else monthly"
        ) }} as description
    from other_billing
    cross join limits
    where other_billing.other_rows >= limits.lost_rows

),

signs as (

    select
        cast(as_of_date as date) as as_of_date,
        cast('subscriptions' as string) as subject,
        cast('stg_subscriptions' as string) as staging_model,
        cast(problem as string) as problem,
        cast(cast(rows_now as double) / all_rows as double) as share,
        cast(rows_now as bigint) as rows_now,
        cast(null as bigint) as rows_then,
        cast(null as date) as compared_with,
        cast('"' || first_value || '"' as string) as first_values,
        cast(description as string) as description
    from found

)

select * from signs
