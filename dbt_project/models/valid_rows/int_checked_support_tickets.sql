with support_tickets as (

    select * from {{ ref('stg_support_tickets') }}

),

customers as (

    select * from {{ valid_rows('customers') }}

),

run as (

    select * from {{ ref('int_run') }}

),

numbered as (

    select
        support_tickets.*,
        row_number() over (
            partition by ticket_id
            order by customer_id, opened_at, resolved_at, satisfaction
        ) as copy_number
    from support_tickets

),

checked as (

    select
        numbered.*,
        cast(numbered.opened_at as date) as opened_on,
        cast(numbered.resolved_at as date) as resolved_on,
        case
            when numbered.ticket_id is null then 'missing_ticket_id'
            when numbered.customer_id is null then 'missing_customer_id'
            when customers.customer_id is null then 'unknown_customer'
            when numbered.opened_at is null then 'missing_opened_at'
            when cast(numbered.opened_at as date) > run.data_ends_on then 'after_data_end'
            when numbered.resolved_at < numbered.opened_at then 'resolved_before_opened'
            when numbered.satisfaction not between 1 and 5 then 'satisfaction_out_of_range'
            when numbered.copy_number > 1 then 'duplicate_ticket_id'
        end as quarantine_reason
    from numbered
    cross join run
    left join customers on numbered.customer_id = customers.customer_id

)

select * from checked
