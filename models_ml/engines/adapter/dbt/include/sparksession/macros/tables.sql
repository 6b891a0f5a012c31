{#-
    A table is built beside the one of its name and takes its place once it is whole: a statement that fails, or a
    killed driver, leaves the earlier table. dbt-spark drops the earlier one first.
-#}
{% materialization table, adapter='sparksession', supported_languages=['sql', 'python'] %}
    {%- set existing_relation = load_cached_relation(this) -%}
    {%- set target_relation = this.incorporate(type='table') -%}

    {{ run_hooks(pre_hooks) }}

    {%- if model['language'] == 'python' -%} {#- dbt lets only a materialization itself run Python -#}
        {%- set beside = place_beside(target_relation) -%}
        {%- call statement('main', language='python') -%}
            {{- create_table_as(False, beside, compiled_code, 'python') }}
        {%- endcall -%}
        {%- do take_place(beside, target_relation) -%}
    {%- else -%}
        {%- do write_beside(target_relation, compiled_code, config.get('partition_by')) -%}
    {%- endif -%}

    {%- do apply_grants(target_relation, config.get('grants'), should_revoke=should_revoke(existing_relation, true)) -%}
    {%- do persist_docs(target_relation, model) -%}

    {{ run_hooks(post_hooks) }}

    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}


{#- Writes the rows of a query to a table beside the one of the name, whose place it takes once it is whole. -#}
{% macro write_beside(relation, query, partition_by=none) %}
    {%- set beside = place_beside(relation) -%}
    {%- call statement('main') -%}
        {{- create_parquet_table(beside, query, partition_by) }}
    {%- endcall -%}
    {%- do take_place(beside, relation) -%}
{% endmacro %}


{#- Where the successor of a table is written, emptied of what a killed run has left. -#}
{% macro place_beside(relation) %}
    {%- set beside = make_intermediate_relation(relation).incorporate(type='table') -%}
    {%- do drop_relation_if_exists(load_cached_relation(beside)) -%}
    {%- do adapter.remove_leftover(beside) -%}
    {{ return(beside) }}
{% endmacro %}


{% macro take_place(beside, relation) %}
    {%- do drop_relation_if_exists(load_cached_relation(relation)) -%}
    {%- do adapter.remove_leftover(relation) -%}
    {%- do adapter.rename_relation(beside, relation) -%}
{% endmacro %}


{#-
    A statement that creates a table. Columns and types are compared with the contract where there is one; Parquet enforces
    no constraint, which data tests check instead.
-#}
{% macro create_parquet_table(relation, query, partition_by) %}
    {%- set is_checked = config.get('contract').enforced -%}
    create table {{ relation }}
    {{ get_assert_columns_equivalent(query) if is_checked }}
    using parquet
    {{ 'partitioned by (' ~ partition_by ~ ')' if partition_by }}
    {{ comment_clause() }}
    as {{ in_even_files(get_select_subquery(query) if is_checked else query, partition_by) }}
{% endmacro %}


{#- Without it, each select of a `union all` would write a file of its own, and each file cost a task when it is read. -#}
{% macro in_even_files(query, partition_by=none) -%}
select /*+ rebalance{{ '(' ~ partition_by ~ ')' if partition_by }} */ * from (
{{ query }}
) as built
{%- endmacro %}


{#- A Python model is run by the adapter, which stores what it returns; SQL is dbt-spark's. -#}
{% macro sparksession__create_table_as(temporary, relation, compiled_code, language='sql') -%}
    {%- if not temporary -%}{%- do adapter.remove_leftover(relation) -%}{%- endif -%}
    {%- if language == 'python' -%}
{{ compiled_code }}

table_to_create = '{{ relation.render() }}'
    {%- else -%}
        {{ spark__create_table_as(temporary, relation, compiled_code, language) }}
    {%- endif -%}
{%- endmacro %}


{#- dbt's own would name a temporary view; a table needs its schema. -#}
{% macro sparksession__make_intermediate_relation(base_relation, suffix) %}
    {{ return(base_relation.incorporate(path={"identifier": base_relation.identifier ~ "__dbt_new"})) }}
{% endmacro %}
