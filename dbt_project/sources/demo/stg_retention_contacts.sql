with retention_contacts as (

    select * from {{ source('demo', 'retention_contacts') }}

),

renamed as (

    select
        ---------- ids
        cast(contact_id as string) as contact_id,
        cast(action_id as string) as action_id,
        cast(customer_id as string) as customer_id,

        ---------- text
        cast(lower(offer) as string) as offer,

        ---------- dates
        cast(contacted_on as date) as contacted_on,
        cast(accepted_on as date) as accepted_on,

        ---------- money
        {{ countable('cost', 'decimal(18, 2)') }} as cost,

        ---------- booleans
        cast(is_randomized as boolean) as is_randomized,

        ---------- numbers
        cast(propensity as double) as propensity
    from retention_contacts

)

select * from renamed
