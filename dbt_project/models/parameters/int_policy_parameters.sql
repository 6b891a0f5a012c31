{{ config(materialized='table') }}

with policy_values as (

    {{ policy_values() }}

),

parameters as (

    select
        {% for parameter in policy_parameters() -%}
            {% set text = "max(case when parameter = '" ~ parameter.name ~ "' then value end)" -%}
            {{ seed_integer(text) if parameter.type == 'integer' else 'cast(' ~ text ~ ' as ' ~ parameter.type ~ ')' }}
                as {{ parameter.name }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from policy_values
    where {{ seeds_are_sound() }}

)

select * from parameters
