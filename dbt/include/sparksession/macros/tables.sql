{#-
    A table is built beside the one of its name and takes its place once it is whole: a statement that fails, or a
    killed driver, leaves the earlier table. dbt-spark drops the earlier one first.
-#}
{% materialization table, adapter='sparksession', supported_languages=['sql', 'python'] %}
    {%- set existing_relation = load_cached_relation(this) -%}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set new_relation = make_intermediate_relation(target_relation).incorporate(type='table') -%}

    {{ run_hooks(pre_hooks) }}

    {%- set code = compiled_code if model['language'] == 'python' else in_even_files(compiled_code) -%}

    {%- do drop_relation_if_exists(load_cached_relation(new_relation)) -%}
    {%- call statement('main', language=model['language']) -%}
        {{- create_table_as(False, new_relation, code, model['language']) }}
    {%- endcall -%}
    {%- do drop_relation_if_exists(existing_relation) -%}
    {%- do adapter.remove_leftover(target_relation) -%}
    {%- do adapter.rename_relation(new_relation, target_relation) -%}

    {%- do apply_grants(target_relation, config.get('grants'), should_revoke=should_revoke(existing_relation, true)) -%}
    {%- do persist_docs(target_relation, model) -%}

    {{ run_hooks(post_hooks) }}

    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}


{#- Without it, each select of a `union all` would write a file of its own, and each file cost a task when it is read. -#}
{% macro in_even_files(query) -%}
select /*+ rebalance */ * from (
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
