{#- Rows whose number is infinite or not a number; a null is neither. No minimum finds the latter: it is above all. -#}
{% test finite(model, column_name) %}

select {{ column_name }}
from {{ model }}
where not {{ column_name }} between -1.0e300 and 1.0e300

{% endtest %}
