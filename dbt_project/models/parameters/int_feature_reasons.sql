{{ config(materialized='table') }}

-- How customer_features.yml lets features be cited as reasons: directions and words stand only there.
with declared as (

    {% for feature in declared_reasons() -%}
        select
            {% for column in [
                'feature', 'family', 'measure', 'words', 'unit', 'period', 'upper_direction', 'lower_direction'
            ] -%}
                cast({{ sql_text(feature[column]) }} as string) as {{ column }}
                {%- if not loop.last %},{% endif %}
            {% endfor %}
        {% if not loop.last %}union all{% endif %}
    {% else -%}
        select
            cast(null as string) as feature,
            cast(null as string) as family,
            cast(null as string) as measure,
            cast(null as string) as words,
            cast(null as string) as unit,
            cast(null as string) as period,
            cast(null as string) as upper_direction,
            cast(null as string) as lower_direction
        where false
    {% endfor %}

)

select * from declared
