with payments as (

    select * from {{ ref('stg_payments') }}

),

customers as (

    select * from {{ valid_rows('customers') }}

),

run as (

    select * from {{ ref('int_run') }}

),

-- A payment ahead of its day makes an invoice known before it falls due.
known_payments as (

    select
        payment_id,
        customer_id,
        due_on,
        {{ stated_day('paid_on') }} as paid_on,
        amount,
        payment_method,
        coalesce(least(due_on, {{ stated_day('paid_on') }}), due_on) as known_on
    from payments

),

judged as (

    select
        known_payments.*,
        case
            when {{ is_missing_id('known_payments.payment_id') }} then 'missing_payment_id'
            when {{ is_missing_id('known_payments.customer_id') }} then 'missing_customer_id'
            when customers.customer_id is null then 'unknown_customer'
            when known_payments.due_on is null then 'missing_due_on'
            when {{ is_placeholder_day('known_payments.due_on') }} then 'placeholder_date'
            when known_payments.known_on > run.data_ends_on then 'after_data_end'
            when known_payments.amount is null then 'missing_amount'
            when {{ is_beyond_counting('known_payments.amount') }} then 'amount_out_of_range'
        end as fault
    from known_payments
    cross join run
    left join customers on known_payments.customer_id = customers.customer_id
    where {{ is_not_erased('case when customers.customer_id is null then known_payments.customer_id end') }}

),

-- A refund may carry the id of the invoice that it pays back.
checked as (

    {{ set_copies_aside(
        'judged', 'payment_id, case when amount < 0 then 1 else 0 end', 'customer_id, due_on, paid_on, amount',
        'duplicate_payment_id'
    ) }}

)

select * from checked
