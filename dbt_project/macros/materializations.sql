{#-
How DuckDB replaces tables and views: in one transaction, so that the old relation is dropped and not renamed. dbt's own
materializations rename it first and look up each name that they use, for every model of a build.
-#}

{% materialization view, adapter='duckdb' %}
    {%- set target = this.incorporate(type='view') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main') -%}
        {{ drop_replaced(target) }}
        {{ get_create_view_as_sql(target, sql) }}
    {%- endcall %}
    {{ return(finish_replacing(target)) }}
{% endmaterialization %}


{#- A model may read what it stored before, so that its table is built beside. -#}
{% materialization table, adapter='duckdb', supported_languages=['sql', 'python'] %}
    {%- set target = this.incorporate(type='table') -%}
    {%- set beside = make_intermediate_relation(target) -%}
    {%- set language = model['language'] -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% if language == 'python' %}
        {#- It writes through a connection of its own, outside this transaction: one that failed may have left a table. -#}
        {% do adapter.drop_relation(beside) %}
    {% endif %}
    {% call statement('main', language=language) -%}
        {{ create_table_as(False, beside, compiled_code, language) }}
    {%- endcall %}
    {% call statement('replace') -%}
        {{ drop_replaced(target) }}
        alter table {{ beside }} rename to {{ adapter.quote(target.identifier) }}
    {%- endcall %}
    {{ return(finish_replacing(target)) }}
{% endmaterialization %}


{#-
    The statement that drops what stands under the name of `target`, whatever it is; nothing, where nothing does. dbt keeps
    what it knows of a relation by its name, and would go on to take a table for a view.
-#}
{% macro drop_replaced(target) -%}
    {%- set replaced = load_cached_relation(target) -%}
    {%- if replaced is not none -%}
        {%- if replaced.type != target.type -%}{%- do adapter.cache_dropped(replaced) -%}{%- endif -%}
        drop {{ replaced.type }} if exists {{ replaced }};
    {%- endif -%}
{%- endmacro %}


{#- The end of a materialization: hooks, comments, commit. -#}
{% macro finish_replacing(target) -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do persist_docs(target, model) %}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target]}) }}
{%- endmacro %}


{#-
    All comments of a relation in one statement, without asking for its columns: contracts hold them to the YAML, and DuckDB
    refuses a comment on a column that is not there.
-#}
{% macro duckdb__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- set comments -%}
        {%- if for_relation and config.persist_relation_docs() and model.description -%}
            {{ alter_relation_comment(relation, model.description) }}
        {%- endif -%}
        {%- if for_columns and config.persist_column_docs() -%}
            {%- for name, column in model.columns.items() %}
                comment on column {{ relation }}.{{ adapter.quote(name) }} is {{ duckdb_escape_comment(column.description) }};
            {%- endfor -%}
        {%- endif -%}
    {%- endset -%}
    {%- if comments | trim -%}
        {%- do run_query(comments) -%}
    {%- endif -%}
{%- endmacro %}
