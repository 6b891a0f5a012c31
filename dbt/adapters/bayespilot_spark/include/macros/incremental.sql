{#-
    delete+insert without a delete: Parquet has none. Where unique_key is one date, each day is a partition and is
    replaced as a whole. Else the table is written again, the rows with other keys as they are. A strategy of `append` adds
    the rows.
-#}
{% materialization incremental, adapter='bayespilot_spark', supported_languages=['sql'] %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set stored = adapter.get_relation(database=this.database, schema=this.schema, identifier=this.identifier) -%}
    {%- set new_rows = api.Relation.create(identifier=this.identifier ~ '__dbt_tmp', type='view') -%}
    {%- set unique_key = config.get('unique_key') -%}
    {%- set keys = [unique_key] if unique_key is string else (unique_key or []) -%}
    {%- set on_schema_change = incremental_validate_on_schema_change(config.get('on_schema_change'), default='ignore') -%}
    {{ run_hooks(pre_hooks) }}
    {%- set day = none -%}
    {%- if keys | length == 1 -%}{%- set day = day_among(keys[0], compiled_code) -%}{%- endif -%}

    {%- if stored is none or stored.is_view or should_full_refresh() -%}
        {%- do write_and_swap(target_relation, compiled_code, day) -%}
    {%- else -%}
        {%- call statement('new_rows') -%}
            create or replace temporary view {{ new_rows }} as {{ compiled_code }}
        {%- endcall -%}
        {%- do process_schema_changes(on_schema_change, new_rows, stored) -%}
        {%- set columns = adapter.get_columns_in_relation(stored) | map(attribute='quoted') | join(', ') -%}
        {%- if not keys -%}
            {%- call statement('main') -%}
                insert into table {{ target_relation }} select {{ columns }} from {{ new_rows }}
            {%- endcall -%}
        {%- elif day -%}
            {%- call statement('main') -%}
                insert overwrite table {{ target_relation }} partition ({{ day }})
                select {{ columns }} from {{ new_rows }}
            {%- endcall -%}
        {%- else -%}
            {%- set with_new_rows -%}
                select {{ columns }}
                from {{ target_relation }} as stored_rows
                where not exists (
                    select 1 as is_replaced
                    from {{ new_rows }} as new_rows
                    where {% for key in keys %}stored_rows.{{ key }} <=> new_rows.{{ key }}{{ ' and ' if not loop.last }}{% endfor %}
                )
                union all
                select {{ columns }} from {{ new_rows }}
            {%- endset -%}
            {%- do write_and_swap(target_relation, with_new_rows, none) -%}
        {%- endif -%}
        {%- call statement('forget_new_rows') -%}drop view if exists {{ new_rows }}{%- endcall -%}
    {%- endif -%}
    {%- do apply_grants(target_relation, config.get('grants'), should_revoke(stored, should_full_refresh())) -%}
    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}


{#- The column where a query yields it as a date, else none. -#}
{% macro day_among(column_name, query) %}
    {%- for column in get_column_schema_from_query(query) if column.name == column_name and column.dtype == 'date' -%}
        {{ return(column_name) }}
    {%- endfor -%}
    {{ return(none) }}
{% endmacro %}


{#- Writes the rows of a query to a table aside, which then takes the name of the relation. -#}
{% macro write_and_swap(relation, query, partition_by) %}
    {%- set aside = relation.incorporate(path={'identifier': relation.identifier ~ '__dbt_new'}, type='table') -%}
    {%- do adapter.drop_relation(aside) -%}
    {%- call statement('main') -%}
        create table {{ aside }}
        {%- if config.get('contract').enforced -%}
            {{ get_assert_columns_equivalent(query) }}
            {%- set query = get_select_subquery(query) -%}
        {%- endif %}
        using parquet
        {% if partition_by %}partitioned by ({{ partition_by }}){% endif %}
        {{ comment_clause() }}
        as {{ query }}
    {%- endcall -%}
    {%- set stored = adapter.get_relation(
        database=relation.database, schema=relation.schema, identifier=relation.identifier) -%}
    {%- if stored is not none -%}{%- do adapter.drop_relation(stored) -%}{%- endif -%}
    {%- do adapter.rename_relation(aside, relation) -%}
{% endmacro %}
