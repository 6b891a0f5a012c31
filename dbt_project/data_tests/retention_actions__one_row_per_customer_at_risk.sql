-- The customers with a decision are the customers at risk, one row each.
with actions as (

    select
        customer_id,
        as_of_date
    from {{ ref('retention_actions') }}

),

run as (

    select * from {{ ref('int_run') }}

),

at_risk as (

    select
        features.customer_id,
        features.as_of_date
    from {{ ref('customer_features') }} as features
    inner join run on features.as_of_date = run.as_of_date and not run.is_frozen

),

decided_now as (

    select count(*) as customers
    from at_risk

),

differences as (

    select
        at_risk.customer_id as at_risk_customer_id,
        actions.customer_id as decided_customer_id
    from at_risk
    full outer join actions
        on at_risk.customer_id = actions.customer_id
            and at_risk.as_of_date = actions.as_of_date
    cross join decided_now
    where decided_now.customers > 0 and (at_risk.customer_id is null or actions.customer_id is null)

)

select * from differences
