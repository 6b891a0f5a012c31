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

shift_reasons as (

    select * from {{ ref('int_shift_reasons') }}

),

performance as (

    select * from {{ ref('rpt_expected_performance') }}

),

calibration as (

    select * from {{ ref('rpt_calibration') }}

),

reasons as (

    select
        reason,
        evidence
    from shift_reasons
    union all
    select
        'ranking expected to be worse' as reason,
        'expected AUC ' || cast(round(performance.expected_auc, 3) as varchar) || ', judged at training '
        || cast(round(performance.judged_auc, 3) as varchar) as evidence
    from performance
    inner join run on performance.as_of_date = run.as_of_date
    cross join limits
    where performance.expected_auc < performance.judged_auc - limits.auc_fall
    union all
    select
        'probabilities are ' || replace(calibration.status, '_', ' ') as reason,
        'observed churn is ' || cast(round(calibration.observed_over_predicted, 2) as varchar)
        || ' times the predicted, over ' || cast(calibration.customers as varchar) || ' customers left alone'
            as evidence
    from calibration
    inner join deployed on calibration.group_name = deployed.pipeline_version
    where calibration.breakdown = 'pipeline' and calibration.status <> 'ok'
    union all
    select
        'trained long ago' as reason,
        'calibrated on ' || cast(deployed.calibrated_on as varchar) as evidence
    from deployed
    cross join run
    cross join limits
    where {{ days_between('deployed.calibrated_on', 'run.as_of_date') }} > limits.oldest_training_days

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
