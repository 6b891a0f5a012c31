{#- A Python model is run by the adapter's PythonModel, which writes what it returns; SQL is dbt-spark's. -#}
{% macro bayespilot_spark__create_table_as(temporary, relation, compiled_code, language='sql') -%}
    {%- if language == 'python' -%}
        {{ compiled_code }}
    {%- else -%}
        {{ spark__create_table_as(temporary, relation, compiled_code, language) }}
    {%- endif -%}
{%- endmacro %}
