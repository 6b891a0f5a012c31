with customer_months as (

    select * from {{ ref('int_customer_months') }}

),

outcomes as (

    select * from {{ ref('action_outcomes') }}

),

-- Windows of neighbouring months may overlap; a customer who has left is lost once.
ordered as (

    select
        customer_months.*,
        lag(case when has_churned_by_month_horizon then month_horizon_ends_on end)
            over (partition by customer_id order by as_of_date) as lost_until
    from customer_months

),

-- A programme that withholds nothing: whoever was withheld is spoken for by those contacted in their place.
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

)

select * from cents
