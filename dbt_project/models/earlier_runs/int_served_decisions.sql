{{ config(materialized='table') }}

-- What the service decided in the last 40 days of its log. A person who was erased does not enter again.
with journal as (

    select * from {{ ref('int_served_journal') }}

),

log as (

    select * from {{ served_log(served_columns()) }} as log_files

),

decisions as (

    select * from log
    union all
    select journal.*
    from journal
    left join log on journal.decision_id = log.decision_id
    where log.decision_id is null

),

kept as (

    select *
    from decisions
    where {{ is_not_erased('customer_id') }}

)

select * from kept
