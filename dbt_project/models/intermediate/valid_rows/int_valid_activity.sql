with checked_activity as (

    select * from {{ ref('int_checked_activity') }}

),

valid_activity as (

    select
        customer_id,
        occurred_at,
        occurred_on,
        activity_type,
        quantity,
        amount
    from checked_activity
    where quarantine_reason is null

)

select * from valid_activity
