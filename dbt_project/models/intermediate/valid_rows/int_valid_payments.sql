with checked_payments as (

    select * from {{ ref('int_checked_payments') }}

),

valid_payments as (

    select
        payment_id,
        customer_id,
        due_on,
        paid_on,
        amount,
        payment_method
    from checked_payments
    where quarantine_reason is null

)

select * from valid_payments
