with support_tickets as (

    select * from {{ ref('stg_support_tickets') }}

),

customers as (

    select * from {{ valid_rows('customers') }}

),

run as (

    select * from {{ ref('int_run') }}

),

stated_tickets as (

    select
        ticket_id,
        customer_id,
        opened_at,
        {{ stated_day('resolved_at') }} as resolved_at,
        topic,
        nullif(satisfaction, 0) as satisfaction
    from support_tickets

),

judged as (

    select
        stated_tickets.*,
        cast(stated_tickets.opened_at as date) as opened_on,
        cast(stated_tickets.resolved_at as date) as resolved_on,
        case
            when {{ is_missing_id('stated_tickets.ticket_id') }} then 'missing_ticket_id'
            when {{ is_missing_id('stated_tickets.customer_id') }} then 'missing_customer_id'
            when customers.customer_id is null then 'unknown_customer'
            when stated_tickets.opened_at is null then 'missing_opened_at'
            when {{ is_placeholder_day('stated_tickets.opened_at') }} then 'placeholder_date'
            when cast(stated_tickets.opened_at as date) > run.data_ends_on then 'after_data_end'
            when stated_tickets.resolved_at < stated_tickets.opened_at then 'resolved_before_opened'
            when stated_tickets.satisfaction not between 1 and 5 then 'satisfaction_out_of_range'
        end as fault
    from stated_tickets
    cross join run
    left join customers on stated_tickets.customer_id = customers.customer_id
    where {{ is_not_erased('case when customers.customer_id is null then stated_tickets.customer_id end') }}

),

checked as (

    {{ set_copies_aside(
        'judged', 'ticket_id', 'customer_id, opened_at, resolved_at, satisfaction', 'duplicate_ticket_id'
    ) }}

)

select * from checked
