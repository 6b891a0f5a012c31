{{ config(severity='warn') }}

-- Actions of this date have begun to be executed: its decisions stay as they are, whatever this run computes.
with run as (

    select * from {{ ref('int_run') }}

),

frozen as (

    select as_of_date
    from run
    where is_frozen

)

select * from frozen
