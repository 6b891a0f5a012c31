with payments as (

    select * from {{ ref('stg_payments') }}

),

customers as (

    select * from {{ valid_rows('customers') }}

),

run as (

    select * from {{ ref('int_run') }}

),

numbered as (

    select
        payments.*,
        row_number() over (
            partition by payment_id
            order by customer_id, due_on, paid_on, amount
        ) as copy_number
    from payments

),

checked as (

    select
        numbered.*,
        case
            when numbered.payment_id is null then 'missing_payment_id'
            when numbered.customer_id is null then 'missing_customer_id'
            when customers.customer_id is null then 'unknown_customer'
            when numbered.due_on is null then 'missing_due_on'
            when numbered.due_on > run.data_ends_on then 'after_data_end'
            when numbered.amount is null then 'missing_amount'
            when numbered.amount < 0 then 'negative_amount'
            when numbered.copy_number > 1 then 'duplicate_payment_id'
        end as quarantine_reason
    from numbered
    cross join run
    left join customers on numbered.customer_id = customers.customer_id

)

select * from checked
