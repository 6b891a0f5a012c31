-- The median differs from that at training by a large factor and lies outside the range of then, as after a change of
-- unit.
with drift as (

    select * from {{ ref('rpt_feature_drift') }}

),

run as (

    select * from {{ ref('int_run') }}

),

changed as (

    select
        drift.feature,
        drift.median_size_then,
        drift.lower_size_then,
        drift.upper_size_then,
        drift.median_size
    from drift
    inner join run on drift.as_of_date = run.as_of_date
    where drift.has_changed_unit

)

select * from changed
