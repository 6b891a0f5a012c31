{#- Rows with a value outside the range that the meta of its column declares; a null is within every range. -#}
{% test declared_ranges(model) %}

select *
from {{ model }}
where false
{%- for column in declared_columns('model.bayespilot.' ~ model.identifier) if 'minimum' in column.bounds or 'maximum' in column.bounds %}
    or not coalesce({{ within_bounds(column.name, column.name, column.bounds, none) }}, true)
{%- endfor %}

{% endtest %}
