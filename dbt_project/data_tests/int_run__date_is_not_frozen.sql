{{ config(severity='warn') }}

-- The date has begun to be executed: its decisions stay as they were made, whatever this run computed.
with run as (

    select * from {{ ref('int_run') }}

),

frozen as (

    select as_of_date
    from run
    where is_frozen

)

select * from frozen
