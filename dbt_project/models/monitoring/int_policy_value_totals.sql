with customer_months as (

    select * from {{ ref('int_customer_months') }}

),

action_outcomes as (

    select * from {{ ref('action_outcomes') }}

),

ranked_outcomes as (

    select
        customer_id,
        outcome_month,
        arm,
        propensity,
        sum(realised_cost) over (partition by customer_id, outcome_month) as realised_cost,
        row_number() over (partition by customer_id, outcome_month order by as_of_date) as outcome_rank
    from action_outcomes

),

-- The first episode of a month stands for it, with all that the month cost.
outcomes as (

    select *
    from ranked_outcomes
    where outcome_rank = 1

),

-- Windows of neighbouring months may overlap; the loss of a customer counts once.
ordered as (

    select
        customer_months.*,
        lag(case when has_churned_by_month_horizon then month_horizon_ends_on end)
            over (partition by customer_id order by as_of_date) as lost_until
    from customer_months

),

-- Value of a programme that withholds nothing: contacted customers stand for the withheld ones, at 1 / propensity.
rewards as (

    select
        ordered.customer_id,
        ordered.outcome_month,
        ordered.arm = 'universal_holdout' as is_holdout,
        case
            when outcomes.arm = 'pick_holdout' then 0.0
            when outcomes.arm = 'policy' then 1.0 / outcomes.propensity
            else 1.0
        end as weight,
        case when ordered.has_churned_by_month_horizon then ordered.customer_value else 0.0 end as lost_this_month,
        case
            when ordered.has_churned_by_month_horizon
                and (ordered.lost_until is null or ordered.lost_until < ordered.as_of_date)
                then ordered.customer_value
            else 0.0
        end as lost,
        outcomes.realised_cost
    from ordered
    inner join outcomes
        on ordered.customer_id = outcomes.customer_id and ordered.outcome_month = outcomes.outcome_month

),

cents as (

    select
        cast(customer_id as varchar) as customer_id,
        cast(outcome_month as date) as outcome_month,
        cast(is_holdout as boolean) as is_holdout,
        cast(round(-100 * weight * (lost_this_month + realised_cost)) as bigint) as cents_this_month,
        cast(round(-100 * weight * (lost + realised_cost)) as bigint) as cents
    from rewards

),

-- A customer whose group changed with the salt or the share belongs to neither group.
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
