{#-
    Faults of the policy parameters, as a select of seed_row and problem: a parameter that is missing, unknown or outside
    its bounds, or that contradicts another one. `policy` is a CTE with the values. An empty seed (as in an --empty build)
    has no fault.
-#}
{% macro policy_faults(policy) -%}
    select
        parameter as seed_row,
        'there is no such parameter' as problem
    from {{ policy }}
    where parameter not in ('{{ policy_parameters() | map(attribute='name') | join("', '") }}')
    {%- for parameter in policy_parameters() %}
    union all
    select
        '{{ parameter.name }}' as seed_row,
        'the parameter is missing' as problem
    from {{ policy }}
    having count(*) > 0 and count(case when parameter = '{{ parameter.name }}' then 1 end) = 0
    union all
    select
        parameter as seed_row,
        'value ' || coalesce(value, 'null') || case when is_overridden then ' (set by --vars)' else '' end
        || ' must be {{ bounds_text(parameter.bounds, parameter.type) }}' as problem
    from {{ policy }}
    where parameter = '{{ parameter.name }}'
        and not coalesce({{ within_bounds('value', 'try_cast(value as double)', parameter.bounds, parameter.type) }}, false)
    {%- if 'less_than' in parameter.bounds %}
    union all
    select
        smaller.parameter as seed_row,
        'value ' || smaller.value || ' must be less than {{ parameter.bounds.less_than }}, ' || larger.value as problem
    from {{ policy }} as smaller
    inner join {{ policy }} as larger on larger.parameter = '{{ parameter.bounds.less_than }}'
    where smaller.parameter = '{{ parameter.name }}'
        and try_cast(smaller.value as double) >= try_cast(larger.value as double)
    {%- endif -%}
    {%- endfor %}
{%- endmacro %}
