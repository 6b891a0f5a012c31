{{ config(severity='warn') }}

-- The distribution of churn probabilities differs from that at training.
with drift as (

    select * from {{ ref('rpt_score_drift') }}

),

run as (

    select * from {{ ref('int_run') }}

),

moved as (

    select
        drift.as_of_date,
        drift.status,
        max(drift.psi) as psi
    from drift
    inner join run on drift.as_of_date = run.as_of_date
    where drift.status <> 'ok'
    group by drift.as_of_date, drift.status

)

select * from moved
