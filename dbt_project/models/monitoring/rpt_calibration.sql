{{ config(materialized='table') }}

with calibration_rows as (

    select * from {{ ref('int_calibration_rows') }}

),

limits as (

    select * from {{ ref('int_monitoring_limits') }}

),

-- Sums of whole numbers do not depend on their order.
sums as (

    select
        outcome_month,
        breakdown,
        group_name,
        count(*) as customers,
        count(case when has_churned then 1 end) as churners,
        sum(weight_millionths) / 1000000.0 as weights,
        sum(cast(round(weight_millionths / 1000000.0 * weight_millionths) as bigint)) / 1000000.0 as squared_weights,
        sum(cast(round(weight_millionths * churn_probability) as bigint)) / 1000000.0 as expected_churners,
        sum(case when has_churned then weight_millionths else 0 end) / 1000000.0 as weighted_churners
    from calibration_rows
    group by outcome_month, breakdown, group_name

),

rates as (

    select
        *,
        expected_churners / weights as predicted_churn,
        weighted_churners / weights as observed_churn,
        weights * weights / squared_weights as effective_customers
    from sums

),

-- Wilson's interval (1927) at 95 %, on the effective number of customers; valid without churners and for few customers.
centred as (

    select
        *,
        (observed_churn + 1.9208 / effective_customers) / (1 + 3.8416 / effective_customers) as centre,
        1.96 / (1 + 3.8416 / effective_customers) * sqrt(
            observed_churn * (1 - observed_churn) / effective_customers
            + 0.9604 / (effective_customers * effective_customers)
        ) as half_width
    from rates

),

calibration as (

    select
        cast(outcome_month as date) as outcome_month,
        cast(breakdown as varchar) as breakdown,
        cast(group_name as varchar) as group_name,
        cast(customers as bigint) as customers,
        cast(churners as bigint) as churners,
        cast(round(effective_customers, 3) as double) as effective_customers,
        cast(round(predicted_churn, 9) as double) as predicted_churn,
        cast(round(observed_churn, 9) as double) as observed_churn,
        cast(greatest(round(centre - half_width, 9), 0) as double) as observed_lower,
        cast(least(round(centre + half_width, 9), 1) as double) as observed_upper,
        cast(round(observed_churn / nullif(predicted_churn, 0), 6) as double) as observed_over_predicted,
        cast(
            case
                when predicted_churn * limits.calibration_ratio < centre - half_width then 'too_low'
                when predicted_churn / limits.calibration_ratio > centre + half_width then 'too_high'
                else 'ok'
            end as varchar
        ) as status
    from centred
    cross join limits

)

select * from calibration
