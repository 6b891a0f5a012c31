with outcomes as (

    select * from {{ ref('action_outcomes') }}

),

-- Horizons of neighbouring months may overlap; a customer who has left is lost once.
ordered as (

    select
        outcomes.*,
        lag(case when has_churned then horizon_ends_on end)
            over (partition by customer_id order by as_of_date) as lost_until
    from outcomes

),

-- A programme that withholds nothing: whoever was withheld is spoken for by those contacted in their place.
rewards as (

    select
        customer_id,
        outcome_month,
        arm = 'universal_holdout' as is_holdout,
        case when arm = 'pick_holdout' then 0.0 when arm = 'policy' then 1.0 / propensity else 1.0 end as weight,
        case when has_churned then customer_value else 0.0 end as lost_this_month,
        case
            when has_churned and (lost_until is null or lost_until < as_of_date) then customer_value else 0.0
        end as lost,
        realised_cost
    from ordered

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
