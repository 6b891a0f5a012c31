{#- Rows whose number is below 0, infinite or not a number; a null is none of these. -#}
{% test not_negative(model, column_name) %}

select {{ column_name }}
from {{ model }}
where not {{ column_name }} between 0 and 1.0e300

{% endtest %}
