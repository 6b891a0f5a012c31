{{ config(materialized='table') }}

with calibration_sums as (

    select * from {{ ref('int_calibration_sums') }}

),

limits as (

    select * from {{ ref('int_monitoring_limits') }}

),

-- A pipeline is judged over all of its months, and listed in the latest.
placed as (

    select
        case
            when breakdown = 'pipeline' then max(outcome_month) over (partition by breakdown, group_name)
            else outcome_month
        end as outcome_month,
        breakdown,
        group_name,
        customers,
        churners,
        weight_millionths,
        squared_weight_millionths,
        expected_churner_millionths,
        weighted_churner_millionths
    from calibration_sums

),

sums as (

    select
        outcome_month,
        breakdown,
        group_name,
        sum(customers) as customers,
        sum(churners) as churners,
        cast(sum(weight_millionths) as double) / 1000000 as weights,
        cast(sum(squared_weight_millionths) as double) / 1000000 as squared_weights,
        cast(sum(expected_churner_millionths) as double) / 1000000 as expected_churners,
        cast(sum(weighted_churner_millionths) as double) / 1000000 as weighted_churners
    from placed
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
        cast(breakdown as string) as breakdown,
        cast(group_name as string) as group_name,
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
            end as string
        ) as status
    from centred
    cross join limits

)

select * from calibration
