{{ config(materialized='table') }}

-- What the service decided in the last 40 days of its log. A person who was erased does not enter again.
with decisions as (

    select * from {{ served_log(served_columns()) }} as log

),

kept as (

    select *
    from decisions
    where {{ is_not_erased('customer_id') }}

)

select * from kept
