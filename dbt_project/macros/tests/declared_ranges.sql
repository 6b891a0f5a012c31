{#-
    Rows with a value outside the range that the meta of its column declares, infinite or not a number; a null is within
    every range. `rows_where` limits the test to rows that this run may have changed.
-#}
{% test declared_ranges(model, rows_where='true') %}

select *
from {{ model }}
where {{ rows_where }} and (
    false
    {%- for column in declared_columns('model.bayespilot.' ~ model.identifier) if 'minimum' in column.bounds or 'maximum' in column.bounds %}
    or not coalesce({{ within_bounds(column.name, column.name, column.bounds, column.type) }}, true)
    {%- endfor %}
)

{% endtest %}
