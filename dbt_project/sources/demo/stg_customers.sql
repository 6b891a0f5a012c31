with customers as (

    select * from {{ source('demo', 'customers') }}

),

renamed as (

    select
        ---------- ids
        cast(customer_id as string) as customer_id,

        ---------- dates
        cast(signed_up_on as date) as signed_up_on,

        ---------- text
        cast(lower(region) as string) as region,
        cast(lower(acquisition_channel) as string) as acquisition_channel,
        cast(lower(segment) as string) as segment
    from customers

)

select * from renamed
