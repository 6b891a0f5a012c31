{{ config(materialized='table') }}

with history as (

    select * from {{ ref('retention_actions_history') }}

),

latest as (

    select max(as_of_date) as as_of_date
    from history

),

actions as (

    select history.*
    from history
    inner join latest on history.as_of_date = latest.as_of_date

)

select * from actions
