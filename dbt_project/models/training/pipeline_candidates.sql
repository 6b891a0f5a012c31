{{ config(materialized='table') }}

-- Types and a contract for the judged candidates, which int_pipeline_candidates returns from Python.
with logged_candidates as (

    select * from {{ ref('int_pipeline_candidates') }}

),

typed as (

    select
        cast(training_run as integer) as training_run,
        cast(candidate as string) as candidate,
        cast(pipeline_version as string) as pipeline_version,
        cast(is_selected as boolean) as is_selected,
        cast(selection_reason as string) as selection_reason,
        cast(outcome as string) as outcome,
        cast(champion_version as string) as champion_version,
        cast(probability_better as double) as probability_better,
        cast(failed_guardrails as string) as failed_guardrails,
        cast(hyper_parameters as string) as hyper_parameters,
        cast(calibration_method as string) as calibration_method,
        cast(fit_from as date) as fit_from,
        cast(fit_to as date) as fit_to,
        cast(calibrated_on as date) as calibrated_on,
        cast(judged_on as date) as judged_on,
        cast(fit_rows as bigint) as fit_rows,
        cast(calibration_rows as bigint) as calibration_rows,
        cast(judged_rows as bigint) as judged_rows,
        cast(judged_churners as bigint) as judged_churners,
        cast(judged_share as double) as judged_share,
        cast(planned_contacts as bigint) as planned_contacts,
        cast(planned_cost as double) as planned_cost,
        cast(judged_profit as double) as judged_profit,
        cast(judged_profit_standard_error as double) as judged_profit_standard_error,
        cast(profit_shortfall as double) as profit_shortfall,
        cast(profit_shortfall_standard_error as double) as profit_shortfall_standard_error,
        cast(auc as double) as auc,
        cast(announced_churn_share as double) as announced_churn_share,
        cast(auc_without_notice as double) as auc_without_notice,
        cast(average_precision as double) as average_precision,
        cast(brier as double) as brier,
        cast(brier_reliability as double) as brier_reliability,
        cast(brier_resolution as double) as brier_resolution,
        cast(brier_uncertainty as double) as brier_uncertainty,
        cast(brier_within_bins as double) as brier_within_bins,
        cast(mean_predicted as double) as mean_predicted,
        cast(mean_observed as double) as mean_observed,
        cast(log_loss as double) as log_loss,
        cast(calibration_error as double) as calibration_error,
        cast(calibration_ratio as double) as calibration_ratio,
        cast(lift as double) as lift,
        cast(empc as double) as empc,
        cast(calibration_tried as string) as calibration_tried,
        cast(threshold_sweep as string) as threshold_sweep
    from logged_candidates

)

select * from typed
