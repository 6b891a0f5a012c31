with decisions as (

    select * from {{ ref('int_outcome_decisions') }}

),

brought as (

    {{ revenue_within('decisions') }}

),

revenue as (

    select
        cast(decisions.action_id as string) as action_id,
        cast(coalesce(brought.fee_cents_days, 0) as bigint) as fee_cents_days,
        cast(coalesce(brought.purchase_cents, 0) as bigint) as purchase_cents
    from decisions
    left join brought
        on decisions.customer_id = brought.customer_id and decisions.as_of_date = brought.as_of_date

)

select * from revenue
