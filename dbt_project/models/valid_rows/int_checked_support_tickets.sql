with support_tickets as (

    select * from {{ ref('stg_support_tickets') }}

),

customers as (

    select * from {{ valid_rows('customers') }}

),

run as (

    select * from {{ ref('int_run') }}

),

judged as (

    select
        support_tickets.*,
        cast(support_tickets.opened_at as date) as opened_on,
        cast(support_tickets.resolved_at as date) as resolved_on,
        case
            when {{ is_missing_id('support_tickets.ticket_id') }} then 'missing_ticket_id'
            when {{ is_missing_id('support_tickets.customer_id') }} then 'missing_customer_id'
            when customers.customer_id is null then 'unknown_customer'
            when support_tickets.opened_at is null then 'missing_opened_at'
            when {{ is_placeholder_day('support_tickets.opened_at') }} then 'placeholder_date'
            when cast(support_tickets.opened_at as date) > run.data_ends_on then 'after_data_end'
            when support_tickets.resolved_at < support_tickets.opened_at then 'resolved_before_opened'
            when support_tickets.satisfaction not between 1 and 5 then 'satisfaction_out_of_range'
        end as fault
    from support_tickets
    cross join run
    left join customers on support_tickets.customer_id = customers.customer_id
    where {{ is_not_erased('case when customers.customer_id is null then support_tickets.customer_id end') }}

),

checked as (

    {{ set_copies_aside(
        'judged', 'ticket_id', 'customer_id, opened_at, resolved_at, satisfaction', 'duplicate_ticket_id'
    ) }}

)

select * from checked
