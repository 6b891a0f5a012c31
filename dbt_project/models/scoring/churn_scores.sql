{{ config(materialized='table') }}

-- A changed unit or a jump in missing values ends the build before customers are scored with it, lost input before
-- that.
-- depends_on: {{ ref('rpt_feature_drift') }}
-- depends_on: {{ ref('int_input_gate') }}

with estimates as (

    select * from {{ ref('int_churn_predictions') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

ranked as (

    select
        cast(estimates.customer_id as string) as customer_id,
        cast(estimates.as_of_date as date) as as_of_date,
        cast(estimates.raw_score as double) as raw_score,
        cast(estimates.churn_probability as double) as churn_probability,
        cast(round(percent_rank() over (
            order by estimates.churn_probability
        ), 6) as double) as risk_percentile,
        cast(
            case
                when estimates.churn_probability >= parameters.escalate_from then 'escalate'
                when estimates.churn_probability >= parameters.review_from then 'review'
                else 'monitor'
            end as string
        ) as risk_tier,
        cast(estimates.pipeline_version as string) as pipeline_version
    from estimates
    cross join parameters
    where {{ input_is_complete() }}

)

select * from ranked
