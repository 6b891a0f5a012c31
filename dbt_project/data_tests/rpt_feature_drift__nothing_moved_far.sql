{{ config(severity='warn') }}

-- Features whose population differs strongly from that at training (index above psi_alert); smaller shifts stand in
-- rpt_feature_drift with status warn.
with drift as (

    select * from {{ ref('rpt_feature_drift') }}

),

run as (

    select * from {{ ref('int_run') }}

),

moved_far as (

    select
        drift.feature,
        drift.slice,
        drift.psi,
        drift.status
    from drift
    inner join run on drift.as_of_date = run.as_of_date
    cross join {{ ref('int_monitoring_limits') }} as limits
    where drift.status <> 'exempt' and drift.psi > greatest(limits.psi_alert, drift.psi_by_chance)

)

select * from moved_far
