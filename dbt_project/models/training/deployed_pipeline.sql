{{ config(materialized='table') }}

-- Types and a contract for the record of the deployed pipeline, which int_deployed_pipeline returns from Python.
with record as (

    select * from {{ ref('int_deployed_pipeline') }}

),

typed as (

    select
        cast(pipeline_version as string) as pipeline_version,
        cast(candidate as string) as candidate,
        cast(hyper_parameters as string) as hyper_parameters,
        cast(selection_reason as string) as selection_reason,
        cast(source as string) as source,
        cast(churn_definition as string) as churn_definition,
        cast(horizon_days as integer) as horizon_days,
        cast(feature_count as integer) as feature_count,
        cast(calibration_method as string) as calibration_method,
        cast(fit_from as date) as fit_from,
        cast(fit_to as date) as fit_to,
        cast(calibrated_on as date) as calibrated_on,
        cast(fit_rows as bigint) as fit_rows,
        cast(calibration_rows as bigint) as calibration_rows,
        cast(refitted_auc as double) as refitted_auc,
        cast(refitted_average_precision as double) as refitted_average_precision,
        cast(refitted_log_loss as double) as refitted_log_loss,
        cast(judged_on as date) as judged_on,
        cast(judged_profit as double) as judged_profit,
        cast(judged_auc as double) as judged_auc,
        cast(judged_announced_churn_share as double) as judged_announced_churn_share,
        cast(judged_auc_without_notice as double) as judged_auc_without_notice,
        cast(judged_average_precision as double) as judged_average_precision,
        cast(judged_log_loss as double) as judged_log_loss,
        cast(judged_calibration_ratio as double) as judged_calibration_ratio,
        cast(judged_calibration_error as double) as judged_calibration_error,
        cast(calibration_warning as string) as calibration_warning,
        cast(sha256 as string) as sha256,
        cast(settings_fingerprint as string) as settings_fingerprint,
        cast(data_fingerprint as string) as data_fingerprint,
        cast(mlflow_run_id as string) as mlflow_run_id,
        cast(was_trained_now as boolean) as was_trained_now,
        cast(trained_because as string) as trained_because,
        cast(training_outcome as string) as training_outcome,
        cast(training_outcome_reason as string) as training_outcome_reason
    from record

)

select * from typed
