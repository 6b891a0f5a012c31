{#-
    Copies the tables of the run from Spark into a DuckDB file: `bayespilot publish --target spark` calls it, for dbt knows
    the session, the schema and what each column means.
-#}
{% macro copy_run(file) %}
    {%- set comments = {} -%}
    {%- for node in graph.nodes.values() if node.resource_type in ('model', 'seed') and (node.config.persist_docs or {}).get('relation') -%}
        {%- set texts = {'': node.description} if node.description else {} -%}
        {%- for column in node.columns.values() if column.description -%}
            {%- do texts.update({column.name: column.description}) -%}
        {%- endfor -%}
        {%- do comments.update({node.alias: texts}) -%}
    {%- endfor -%}
    {%- do adapter.copy_run(target.schema, file, comments) -%}
{% endmacro %}
