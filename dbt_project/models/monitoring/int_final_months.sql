{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='outcome_month',
    on_schema_change='append_new_columns',
    pre_hook='{{ forget_own_months() }}',
) }}

-- A month is final once its last outcome has been known for as long as sources may report late. This stands last: all
-- that is kept by month has been computed in this run.
-- depends_on: {{ ref('action_outcomes') }}
-- depends_on: {{ ref('int_customer_months') }}
-- depends_on: {{ ref('int_calibration_sums') }}
with months as (

    select * from {{ ref('int_month_horizons') }}

),

run as (

    select * from {{ ref('int_run') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

limits as (

    select * from {{ ref('int_monitoring_limits') }}

),

final_months as (

    select
        cast(months.outcome_month as date) as outcome_month,
        cast(run.as_of_date as date) as final_on
    from months
    cross join run
    cross join parameters
    cross join limits
    where
        {{ add_days(
            'months.month_horizon_ends_on', '(parameters.resume_grace_days + limits.late_report_days)'
        ) }}
        < run.as_of_date

)

select * from final_months
