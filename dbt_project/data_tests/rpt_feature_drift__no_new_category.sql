{{ config(severity='warn') }}

-- Categories that are new to the deployed pipeline count as unknown in its scores.
with drift as (

    select * from {{ ref('rpt_feature_drift') }}

),

run as (

    select * from {{ ref('int_run') }}

),

unseen as (

    select
        drift.feature,
        drift.new_share,
        drift.new_values
    from drift
    inner join run on drift.as_of_date = run.as_of_date
    where drift.has_new_category

)

select * from unseen
