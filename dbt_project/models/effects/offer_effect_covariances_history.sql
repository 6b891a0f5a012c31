{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='as_of_date',
    full_refresh=false,
    on_schema_change='append_new_columns',
) }}

with covariances as (

    select * from {{ ref('offer_effect_covariances') }}

),

run as (

    select * from {{ ref('int_run') }}

),

-- A date that has begun to be executed keeps its rows.
known_covariances as (

    select
        cast(run.as_of_date as date) as as_of_date,
        covariances.*
    from covariances
    inner join run on not run.is_frozen

)

select * from known_covariances
