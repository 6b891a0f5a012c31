with payments as (

    select * from {{ source('demo', 'payments') }}

),

renamed as (

    select
        ---------- ids
        cast(payment_id as string) as payment_id,
        cast(customer_id as string) as customer_id,

        ---------- dates
        cast(due_on as date) as due_on,
        cast(paid_on as date) as paid_on,

        ---------- money
        {{ countable('amount', 'decimal(18, 2)') }} as amount,

        ---------- text
        cast(lower(payment_method) as string) as payment_method
    from payments

)

select * from renamed
