{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='outcome_month',
    full_refresh=false,
    on_schema_change='append_new_columns',
    pre_hook='{{ forget_own_months() }}',
) }}

-- Sums of final months are kept. Sums of whole numbers do not depend on their order.
with customer_months as (

    select * from {{ ref('int_customer_months') }}

),

open_outcomes as (

    select * from {{ ref('int_open_outcomes') }}

),

customers as (

    select * from {{ valid_rows('customers') }}

),

-- The churn probability refers to customers left alone; weighted, they represent all customers.
untouched as (

    select
        customer_months.outcome_month,
        customer_months.pipeline_version,
        customer_months.risk_tier,
        coalesce(customers.segment, 'unknown') as segment,
        cast(round(1000000 * customer_months.left_alone_weight) as bigint) as weight_millionths,
        customer_months.churn_probability,
        customer_months.has_churned
    from customer_months
    inner join open_outcomes on customer_months.outcome_month >= open_outcomes.open_from
    left join customers on customer_months.customer_id = customers.customer_id
    where customer_months.left_alone_weight > 0

),

calibration_rows as (

    {% for breakdown, group in {
        'all': "'all'", 'risk_tier': 'risk_tier', 'segment': 'segment', 'pipeline': 'pipeline_version'
    }.items() -%}
        select
            outcome_month,
            '{{ breakdown }}' as breakdown,
            {{ group }} as group_name,
            weight_millionths,
            churn_probability,
            has_churned
        from untouched
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

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
