-- A customer's reasons differ, and there is no second one without a first.
with actions as (

    select * from {{ ref('retention_actions') }}

),

repeated as (

    select
        customer_id,
        reason_1,
        reason_2,
        reason_3
    from actions
    where reason_1 = reason_2
        or reason_1 = reason_3
        or reason_2 = reason_3
        or (reason_1 is null and reason_2 is not null)
        or (reason_2 is null and reason_3 is not null)

)

select * from repeated
