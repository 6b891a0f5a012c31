with cents as (

    select * from {{ ref('int_policy_value_rewards') }}

),

-- Who changed groups with the salt or the share belongs to neither.
customers as (

    select
        customer_id,
        min(case when is_holdout then 1 else 0 end) = 1 as is_holdout,
        sum(cents) as total_cents
    from cents
    group by customer_id
    having min(case when is_holdout then 1 else 0 end) = max(case when is_holdout then 1 else 0 end)

),

span as (

    select
        min(outcome_month) as first_month,
        max(outcome_month) as last_month
    from cents

),

periods as (

    select
        substr(cast(outcome_month as varchar), 1, 7) as period,
        outcome_month as first_month,
        outcome_month as last_month,
        is_holdout,
        cents_this_month as total_cents
    from cents
    union all
    select
        'all' as period,
        span.first_month,
        span.last_month,
        customers.is_holdout,
        customers.total_cents
    from customers
    cross join span

),

totals as (

    select
        cast(period as varchar) as period,
        cast(first_month as date) as first_month,
        cast(last_month as date) as last_month,
        cast(is_holdout as boolean) as is_holdout,
        cast(total_cents as bigint) as total_cents,
        cast(count(*) as bigint) as customers
    from periods
    group by period, first_month, last_month, is_holdout, total_cents

)

select * from totals
