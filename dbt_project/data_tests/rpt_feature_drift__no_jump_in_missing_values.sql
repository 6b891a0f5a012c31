-- A feature that was filled at training is now missing for many customers, as after a broken join or feed.
with drift as (

    select * from {{ ref('rpt_feature_drift') }}

),

run as (

    select * from {{ ref('int_run') }}

),

jumped as (

    select
        drift.feature,
        drift.missing_share_then,
        drift.missing_share
    from drift
    inner join run on drift.as_of_date = run.as_of_date
    where drift.has_missing_jump

)

select * from jumped
