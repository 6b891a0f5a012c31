{{ config(materialized='table') }}

with run as (

    select * from {{ ref('int_run') }}

),

limits as (

    select * from {{ ref('int_monitoring_limits') }}

),

deployed as (

    select * from {{ ref('deployed_pipeline') }}

),

feature_drift as (

    select * from {{ ref('rpt_feature_drift') }}

),

score_drift as (

    select * from {{ ref('rpt_score_drift') }}

),

performance as (

    select * from {{ ref('rpt_expected_performance') }}

),

calibration as (

    select * from {{ ref('rpt_calibration') }}

),

drifting as (

    select
        as_of_date,
        count(case when psi > psi_alert and status <> 'exempt' then 1 end) as moved_far,
        count(*) as features
    from feature_drift
    cross join limits
    where slice = 'all'
    group by as_of_date

),

reasons as (

    select
        'scores moved' as reason,
        'index ' || cast(round(max(score_drift.psi), 3) as varchar) || ' of the churn probability since training'
            as evidence
    from score_drift
    inner join run on score_drift.as_of_date = run.as_of_date
    where score_drift.status = 'alert'
    having count(*) > 0
    union all
    select
        'many features moved' as reason,
        cast(moved_far as varchar) || ' of ' || cast(features as varchar) || ' features moved far since training'
            as evidence
    from drifting
    inner join run on drifting.as_of_date = run.as_of_date
    cross join limits
    where moved_far > alerting_features * features
    union all
    select
        'ranking expected to be worse' as reason,
        'expected AUC ' || cast(round(expected_auc, 3) as varchar) || ', judged at training '
        || cast(round(performance.judged_auc, 3) as varchar) as evidence
    from performance
    inner join run on performance.as_of_date = run.as_of_date
    cross join limits
    where expected_auc < performance.judged_auc - auc_fall
    union all
    select
        'probabilities are ' || replace(calibration.status, '_', ' ') as reason,
        'observed churn is ' || cast(round(observed_over_predicted, 2) as varchar) || ' times the expected, over '
        || cast(customers as varchar) || ' customers left alone' as evidence
    from calibration
    inner join deployed on calibration.group_name = deployed.pipeline_version
    where calibration.breakdown = 'pipeline' and calibration.status <> 'ok'
    union all
    select
        'trained long ago' as reason,
        'calibrated on ' || cast(calibrated_on as varchar) as evidence
    from deployed
    cross join run
    cross join limits
    where {{ days_between('calibrated_on', 'run.as_of_date') }} > oldest_training_days

),

advice as (

    select
        cast(run.as_of_date as date) as as_of_date,
        cast(reasons.reason as varchar) as reason,
        cast(reasons.evidence as varchar) as evidence,
        cast('dbt build --vars ''{retrain: true}''' as varchar) as next_step
    from reasons
    cross join run

)

select * from advice
