with run as (

    select * from {{ ref('int_run') }}

),

limits as (

    select * from {{ ref('int_monitoring_limits') }}

),

feature_drift as (

    select * from {{ ref('rpt_feature_drift') }}

),

score_drift as (

    select * from {{ ref('rpt_score_drift') }}

),

reference_bins as (

    select * from {{ ref('int_reference_bins') }}

),

features as (

    select
        feature_drift.as_of_date,
        count(case when psi > greatest(psi_alert, psi_by_chance) and status <> 'exempt' then 1 end) as moved_far,
        count(*) as features
    from feature_drift
    inner join run on feature_drift.as_of_date = run.as_of_date
    cross join limits
    where slice = 'all'
    group by feature_drift.as_of_date

),

scores as (

    select
        score_drift.as_of_date,
        max(psi) as psi
    from score_drift
    inner join run on score_drift.as_of_date = run.as_of_date
    where status = 'alert'
    group by score_drift.as_of_date

),

frozen as (

    select count(*) as bins
    from reference_bins

),

reasons as (

    select
        'drift cannot be measured' as reason,
        'the deployed pipeline was kept without frozen bins' as evidence
    from frozen
    inner join run on frozen.bins = 0
    union all
    select
        'scores moved' as reason,
        'index ' || cast(round(psi, 3) as varchar) || ' of the churn probability since training' as evidence
    from scores
    union all
    select
        'many features moved' as reason,
        cast(moved_far as varchar) || ' of ' || cast(features as varchar) || ' features moved far since training'
            as evidence
    from features
    cross join limits
    where moved_far > alerting_features * features

),

shift_reasons as (

    select
        cast(reason as varchar) as reason,
        cast(evidence as varchar) as evidence
    from reasons

)

select * from shift_reasons
