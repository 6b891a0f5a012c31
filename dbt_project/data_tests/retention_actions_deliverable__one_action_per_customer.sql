-- Nobody is handed to the CRM twice.
with deliverable as (

    select * from {{ ref('retention_actions_deliverable') }}

),

repeated as (

    select
        customer_id,
        count(*) as actions
    from deliverable
    group by customer_id
    having count(*) > 1

)

select * from repeated
