with support_tickets as (

    select * from {{ source('demo', 'support_tickets') }}

),

renamed as (

    select
        ---------- ids
        cast(ticket_id as string) as ticket_id,
        cast(customer_id as string) as customer_id,

        ---------- timestamps
        cast(opened_at as timestamp) as opened_at,
        cast(resolved_at as timestamp) as resolved_at,

        ---------- text
        cast(lower(topic) as string) as topic,

        ---------- numbers
        cast(satisfaction as integer) as satisfaction
    from support_tickets

)

select * from renamed
