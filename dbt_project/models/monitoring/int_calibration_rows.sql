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

grouped as (

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

)

select * from grouped
