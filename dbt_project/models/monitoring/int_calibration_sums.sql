{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='outcome_month',
    full_refresh=false,
    on_schema_change='append_new_columns',
    pre_hook='{{ forget_own_months() }}',
) }}

-- Sums of final months are kept. Sums of whole numbers do not depend on their order.
with calibration_rows as (

    select * from {{ ref('int_calibration_rows') }}

),

sums as (

    select
        cast(outcome_month as date) as outcome_month,
        cast(breakdown as string) as breakdown,
        cast(group_name as string) as group_name,
        cast(count(*) as bigint) as customers,
        cast(count(case when has_churned then 1 end) as bigint) as churners,
        cast(sum(weight_millionths) as decimal(38, 0)) as weight_millionths,
        cast(sum(cast(round(weight_millionths / 1000000 * weight_millionths) as bigint)) as decimal(38, 0))
            as squared_weight_millionths,
        cast(sum(cast(round(weight_millionths * churn_probability) as bigint)) as decimal(38, 0))
            as expected_churner_millionths,
        cast(sum(case when has_churned then weight_millionths else 0 end) as decimal(38, 0))
            as weighted_churner_millionths
    from calibration_rows
    group by outcome_month, breakdown, group_name

)

select * from sums
