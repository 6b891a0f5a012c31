with policy_values as (

    select * from {{ ref('int_policy_values') }}

),

seeds_present as (

    select count(*) as seed_rows
    from policy_values

),

rules as (

    {% for parameter, rule in policy_parameter_rules().items() -%}
        select
            '{{ parameter }}' as parameter,
            '{{ rule[0] }}' as type,
            '{{ rule[1] | replace("'", "''") }}' as condition
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

missing as (

    select
        rules.parameter as seed_row,
        'the parameter is missing' as problem
    from rules
    cross join seeds_present
    left join policy_values on rules.parameter = policy_values.parameter
    where policy_values.parameter is null and seeds_present.seed_rows > 0

),

unknown as (

    select
        policy_values.parameter as seed_row,
        'no such parameter' as problem
    from policy_values
    left join rules on policy_values.parameter = rules.parameter
    where rules.parameter is null

),

repeated as (

    select
        parameter as seed_row,
        'the parameter stands in more than one row' as problem
    from policy_values
    group by parameter
    having count(*) > 1

),

readings as (

    select
        parameter,
        value,
        try_cast(value as double) as number
    from policy_values

),

out_of_bounds as (

    {% for parameter, rule in policy_parameter_rules().items() -%}
        select
            parameter as seed_row,
            'value ' || coalesce(value, 'null') || ' does not meet: {{ rule[1] | replace("'", "''") }}' as problem
        from readings
        where parameter = '{{ parameter }}' and not coalesce({{ rule[1] }}, false)
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

tiers_out_of_order as (

    select
        'review_from' as seed_row,
        'review_from must lie below escalate_from' as problem
    from readings
    having max(case when parameter = 'review_from' then number end)
        >= max(case when parameter = 'escalate_from' then number end)

),

value_within_the_horizon as (

    select
        'value_horizon_days' as seed_row,
        'value_horizon_days must exceed horizon_days' as problem
    from readings
    having max(case when parameter = 'value_horizon_days' then number end)
        <= max(case when parameter = 'horizon_days' then number end)

),

without_unit_or_source as (

    select
        parameter as seed_row,
        'the row states no unit or no source' as problem
    from policy_values
    where unit is null or source is null

),

problems as (

    {% for step in [
        'missing', 'unknown', 'repeated', 'out_of_bounds', 'tiers_out_of_order', 'value_within_the_horizon',
        'without_unit_or_source',
    ] -%}
        select
            'policy' as seed,
            seed_row,
            problem
        from {{ step }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

)

select * from problems
