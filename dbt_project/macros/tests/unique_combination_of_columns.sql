{#-
    Rows whose key, a combination of columns, occurs twice or has a null in it. `rows_where` limits the test to rows that
    this run may have changed, so that a night reads no more of a table with every night behind it.
-#}
{% test unique_combination_of_columns(model, combination_of_columns, rows_where='true') %}

select {{ combination_of_columns | join(', ') }}
from {{ model }}
where {{ rows_where }}
group by {{ combination_of_columns | join(', ') }}
having count(*) > 1 or {{ combination_of_columns | join(' is null or ') }} is null

{% endtest %}
