with checked_retention_contacts as (

    select * from {{ ref('int_checked_retention_contacts') }}

),

valid_retention_contacts as (

    select
        contact_id,
        action_id,
        customer_id,
        offer,
        contacted_on,
        accepted_on,
        cost,
        is_randomized,
        propensity
    from checked_retention_contacts
    where quarantine_reason is null

)

select * from valid_retention_contacts
