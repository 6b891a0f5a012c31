-- Signs that a source writes its subscriptions in another way than the contract says. A day between two rows of one
-- subscription: the earlier row holds the last day with it, where the first day without it belongs. A commitment that
-- reaches further than those of recent rows: the source overwrites it at each renewal, and a past date then sees an end
-- of the commitment that was not known.
with periods as (

    select * from {{ ref('int_subscription_periods') }}

),

run as (

    select * from {{ ref('int_run') }}

),

limits as (

    select * from {{ ref('int_monitoring_limits') }}

),

known as (

    select
        periods.*,
        run.as_of_date,
        {{ days_between('periods.earlier_ended_on', 'periods.started_on') }} as gap_days,
        {{ days_between('periods.started_on', 'periods.commitment_ends_on') }} as commitment_days
    from periods
    inner join run on periods.started_on <= run.as_of_date

),

pairs as (

    select
        as_of_date,
        sum(case when gap_days = 1 then 1 else 0 end) as gaps,
        sum(case when gap_days in (0, 1) then 1 else 0 end) as pairs,
        min(case when gap_days = 1 then subscription_id end) as first_id
    from known
    group by as_of_date

),

recent as (

    select
        known.commitment_days,
        cume_dist() over (order by known.commitment_days) as share_up_to,
        count(*) over () as recent_rows
    from known
    cross join limits
    where known.commitment_days is not null
        and known.started_on > {{ add_days('known.as_of_date', '-limits.commitment_recent_days') }}

),

-- The length that nine in ten of the recent rows do not exceed.
one_commitment as (

    select min(recent.commitment_days) as days
    from recent
    cross join limits
    where recent.share_up_to >= 0.9 and recent.recent_rows >= limits.commitment_rows

),

overwritten as (

    select
        known.as_of_date,
        count(*) as overwritten_rows,
        min(one_commitment.days) as days,
        min(known.subscription_id) as first_id
    from known
    cross join limits
    inner join one_commitment on known.commitment_days > limits.commitment_tolerance * one_commitment.days
    group by known.as_of_date

),

commitments as (

    select count(*) as commitment_rows
    from known
    where commitment_days is not null

),

found as (

    select
        pairs.as_of_date,
        'last_day_in_ended_on' as problem,
        pairs.gaps as rows_now,
        pairs.pairs as all_rows,
        pairs.first_id,
        {{ error_text(
            "stg_subscriptions: in ", "pairs.gaps", " of ", "pairs.pairs", " pairs of rows of one subscription a day lies "
            ~ "between ended_on and the next started_on, first in ", "pairs.first_id", ": ended_on is the first day "
            ~ "without the subscription; where the source holds the last day with it, write ended_on + 1 in stg_subscriptions"
        ) }} as description
    from pairs
    cross join limits
    where pairs.gaps >= limits.last_day_rows and 2 * pairs.gaps > pairs.pairs
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

),

signs as (

    select
        cast(as_of_date as date) as as_of_date,
        cast('subscriptions' as varchar) as subject,
        cast('stg_subscriptions' as varchar) as staging_model,
        cast(problem as varchar) as problem,
        cast(cast(rows_now as double) / all_rows as double) as share,
        cast(rows_now as bigint) as rows_now,
        cast(null as bigint) as rows_then,
        cast(null as date) as compared_with,
        cast('"' || first_id || '"' as varchar) as first_values,
        cast(description as varchar) as description
    from found

)

select * from signs
