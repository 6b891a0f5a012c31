with checked_support_tickets as (

    select * from {{ ref('int_checked_support_tickets') }}

),

valid_support_tickets as (

    select
        ticket_id,
        customer_id,
        opened_at,
        resolved_at,
        opened_on,
        resolved_on,
        topic,
        satisfaction
    from checked_support_tickets
    where quarantine_reason is null

)

select * from valid_support_tickets
