{#- Rows whose value is above that of another column, such as the lower end of an interval above its upper one. -#}
{% test not_above(model, column_name, other) %}

select
    {{ column_name }},
    {{ other }}
from {{ model }}
where {{ column_name }} > {{ other }}

{% endtest %}
