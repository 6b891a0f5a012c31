with outcomes as (

    select * from {{ ref('action_outcomes') }}

),

customers as (

    select * from {{ ref('int_valid_customers') }}

),

latest as (

    select
        pipeline_version,
        max(outcome_month) as latest_month
    from outcomes
    group by pipeline_version

),

-- The churn probability speaks of customers left alone; the weights make them stand for everybody.
untouched as (

    select
        outcomes.outcome_month,
        outcomes.pipeline_version,
        outcomes.risk_tier,
        coalesce(customers.segment, 'unknown') as segment,
        cast(round(1000000 * outcomes.outcome_weight) as bigint) as weight_millionths,
        outcomes.churn_probability,
        outcomes.has_churned
    from outcomes
    left join customers on outcomes.customer_id = customers.customer_id
    where not outcomes.is_contacted and outcomes.action = 'no_action' and outcomes.outcome_weight > 0

),

grouped as (

    {% for breakdown, group in {
        'all': "'all'", 'risk_tier': 'risk_tier', 'segment': 'segment', 'pipeline': 'untouched.pipeline_version'
    }.items() -%}
        select
            {{ 'latest.latest_month' if breakdown == 'pipeline' else 'untouched.outcome_month' }} as outcome_month,
            '{{ breakdown }}' as breakdown,
            {{ group }} as group_name,
            weight_millionths,
            churn_probability,
            has_churned
        from untouched
        {% if breakdown == 'pipeline' -%}
            inner join latest on untouched.pipeline_version = latest.pipeline_version
        {% endif -%}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

)

select * from grouped
