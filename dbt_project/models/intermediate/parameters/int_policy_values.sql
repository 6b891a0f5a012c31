with policy as (

    select * from {{ ref('policy') }}

),

overrides as (

    {% for parameter in policy_parameter_rules() -%}
        select
            '{{ parameter }}' as parameter,
            {% set chosen = var(parameter, none) -%}
            {% if chosen is none %}cast(null as varchar){% else %}'{{ chosen }}'{% endif %} as chosen_value
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

chosen_values as (

    select
        cast(policy.parameter as varchar) as parameter,
        cast(trim(coalesce(overrides.chosen_value, policy.value)) as varchar) as value,
        cast(policy.unit as varchar) as unit,
        cast(case when overrides.chosen_value is null then policy.source else 'dbt variable' end as varchar) as source
    from policy
    left join overrides on policy.parameter = overrides.parameter

)

select * from chosen_values
