with activity as (

    select * from {{ source('demo', 'activity') }}

),

renamed as (

    select
        ---------- ids
        cast(customer_id as string) as customer_id,

        ---------- timestamps
        cast(occurred_at as timestamp) as occurred_at,

        ---------- text
        cast(lower(activity_type) as string) as activity_type,

        ---------- numbers
        {{ countable('quantity', 'bigint') }} as quantity,
        {{ countable('amount', 'decimal(18, 2)') }} as amount
    from activity

)

select * from renamed
