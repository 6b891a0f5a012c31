{{ config(materialized='table') }}

with policy_values as (

    {{ policy_values() }}

),

parameters as (

    select
        {% for parameter in policy_parameters() -%}
            cast(max(case when parameter = '{{ parameter.name }}' then value end) as {{ parameter.type }})
                as {{ parameter.name }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from policy_values
    where {{ seeds_are_sound() }}

)

select * from parameters
