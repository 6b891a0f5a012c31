{#- Rows whose value does not lie within 0 to 1; a null does. -#}
{% test share(model, column_name) %}

select {{ column_name }}
from {{ model }}
where not {{ column_name }} between 0 and 1

{% endtest %}
