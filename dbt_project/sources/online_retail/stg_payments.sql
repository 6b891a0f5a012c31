-- The file holds no payments, only the shape that the contract asks for.

with no_payments as (

    select
        cast(null as string) as payment_id,
        cast(null as string) as customer_id,
        cast(null as date) as due_on,
        cast(null as date) as paid_on,
        cast(null as decimal(18, 2)) as amount,
        cast(null as string) as payment_method
    where false

)

select * from no_payments
