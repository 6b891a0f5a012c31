{#- The rows of a staging table that passed their checks, as a subquery; quarantine holds the others. -#}
{% macro valid_rows(table) -%}
    (select * from {{ ref('int_checked_' ~ table) }} where quarantine_reason is null)
{%- endmacro %}
