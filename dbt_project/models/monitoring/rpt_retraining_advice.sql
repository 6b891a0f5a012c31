{{ config(materialized='table') }}

{% set retrain = "bayespilot run --source " ~ var('source') ~ " --vars '{retrain: true}'" -%}

with run as (

    select * from {{ ref('int_run') }}

),

limits as (

    select * from {{ ref('int_monitoring_limits') }}

),

deployed as (

    select * from {{ ref('deployed_pipeline') }}

),

candidates as (

    select * from {{ ref('pipeline_candidates') }}

),

reference_bins as (

    select * from {{ ref('int_reference_bins') }}

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

frozen as (

    select count(*) as bins
    from reference_bins

),

features as (

    select
        count(case when psi > greatest(psi_alert, psi_by_chance) and status <> 'exempt' then 1 end) as moved_far,
        count(*) as features,
        max(alerting_features) as alerting_features
    from feature_drift
    inner join run on feature_drift.as_of_date = run.as_of_date
    cross join limits
    where slice = 'all'

),

scores as (

    select max(psi) as psi
    from score_drift
    inner join run on score_drift.as_of_date = run.as_of_date
    where status = 'alert'

),

judged_counts as (

    select
        max(cast(candidates.judged_churners as double)) as churners,
        max(cast(candidates.judged_rows - candidates.judged_churners as double)) as stayers
    from candidates
    inner join deployed on candidates.pipeline_version = deployed.pipeline_version

),

-- Standard error of the judged AUC: Hanley and McNeil (1982), equation 2.
ranking as (

    select
        performance.expected_auc,
        performance.judged_auc,
        coalesce(
            sqrt(
                greatest(
                    judged_auc * (1 - judged_auc)
                    + (churners - 1) * (judged_auc / (2 - judged_auc) - judged_auc * judged_auc)
                    + (stayers - 1)
                    * (2 * judged_auc * judged_auc / (1 + judged_auc) - judged_auc * judged_auc),
                    0
                ) / nullif(churners * stayers, 0)
            ),
            0
        ) as judged_error
    from performance
    inner join run on performance.as_of_date = run.as_of_date
    cross join judged_counts

),

reasons as (

    select
        'drift cannot be measured' as reason,
        'the deployed pipeline was kept without frozen bins' as evidence
    from frozen
    where bins = 0
    union all
    select
        'scores moved' as reason,
        'index ' || cast(round(psi, 3) as string) || ' of the churn probability since training' as evidence
    from scores
    where psi is not null
    union all
    select
        'many features moved' as reason,
        cast(moved_far as string) || ' of ' || cast(features as string) || ' features moved far since training'
            as evidence
    from features
    where moved_far > alerting_features * features
    union all
    select
        'ranking expected to be worse' as reason,
        'expected AUC ' || cast(round(expected_auc, 3) as string) || ', judged at training '
        || cast(round(judged_auc, 3) as string) as evidence
    from ranking
    cross join limits
    where expected_auc < judged_auc - greatest(limits.auc_fall, 1.96 * judged_error)
    union all
    select
        'probabilities are ' || replace(calibration.status, '_', ' ') as reason,
        'observed churn is ' || cast(round(calibration.observed_over_predicted, 2) as string)
        || ' times the predicted, over ' || cast(calibration.customers as string) || ' customers left alone'
            as evidence
    from calibration
    inner join deployed on calibration.group_name = deployed.pipeline_version
    where calibration.breakdown = 'pipeline' and calibration.status <> 'ok'
    union all
    select
        'trained long ago' as reason,
        'calibrated on ' || cast(deployed.calibrated_on as string) as evidence
    from deployed
    cross join run
    cross join limits
    where {{ days_between('deployed.calibrated_on', 'run.as_of_date') }} > limits.oldest_training_days

),

advice as (

    select
        cast(run.as_of_date as date) as as_of_date,
        cast(reasons.reason as string) as reason,
        cast(reasons.evidence as string) as evidence,
        cast({{ sql_text(retrain) }} as string) as next_step
    from reasons
    cross join run

)

select * from advice
