{{ config(materialized='table') }}

with policy_values as (

    select * from {{ ref('int_policy_values') }}

),

parameters as (

    select
        {% for parameter, rule in policy_parameter_rules().items() -%}
            cast(max(case when parameter = '{{ parameter }}' then value end) as {{ rule[0] }}) as {{ parameter }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from policy_values
    where {{ seeds_are_sound() }}

)

select * from parameters
