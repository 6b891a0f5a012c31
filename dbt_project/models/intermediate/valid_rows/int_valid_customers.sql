with checked_customers as (

    select * from {{ ref('int_checked_customers') }}

),

valid_customers as (

    select
        customer_id,
        signed_up_on,
        region,
        acquisition_channel,
        segment,
        consents_to_email,
        consents_to_phone,
        consents_to_push
    from checked_customers
    where quarantine_reason is null

)

select * from valid_customers
