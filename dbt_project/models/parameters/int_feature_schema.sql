{{ config(materialized='table') }}

-- Features as customer_features.yml declares them: roles and types stand only there.
{% set columns = graph.nodes['model.bayespilot.customer_features'].columns.values() | list if execute else [] -%}
{% set features = [] -%}
{% for column in columns if (column.config.meta or column.meta).get('role') in ('numeric', 'categorical') -%}
    {%- do features.append(column) -%}
{% endfor -%}

with declared as (

    {% for column in features -%}
        {% set meta = column.config.meta or column.meta -%}
        select
            cast('{{ column.name }}' as string) as feature,
            cast({{ loop.index0 }} as integer) as feature_position,
            cast('{{ meta.role }}' as string) as role,
            cast('{{ column.data_type }}' as string) as data_type,
            cast({{ meta.get('expected_effect', 0) }} as integer) as expected_effect,
            cast({{ meta.get('ages', false) }} as boolean) as ages,
            cast('{{ column.description | replace("'", "''") }}' as string) as description
        {% if not loop.last %}union all{% endif %}
    {% else -%}
        select
            cast(null as string) as feature,
            cast(null as integer) as feature_position,
            cast(null as string) as role,
            cast(null as string) as data_type,
            cast(null as integer) as expected_effect,
            cast(null as boolean) as ages,
            cast(null as string) as description
        where false
    {% endfor %}

)

select * from declared
