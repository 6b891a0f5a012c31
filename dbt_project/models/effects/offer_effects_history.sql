{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='as_of_date',
    full_refresh=false,
    on_schema_change='append_new_columns',
) }}

with effects as (

    select * from {{ ref('offer_effects') }}

),

run as (

    select * from {{ ref('int_run') }}

),

-- Rows of a date are kept once its actions have begun to be executed.
known_effects as (

    select
        cast(run.as_of_date as date) as as_of_date,
        effects.*
    from effects
    inner join run on not run.is_frozen

)

select * from known_effects
