{#-
    delete+insert without a delete: Parquet has none. Where unique_key is one date, or partition_by names one, each day is
    a partition; those of the new rows are replaced, with the stored rows of other keys in them. Else the table is written
    again. A strategy of `append` adds the rows.
-#}
{% materialization incremental, adapter='sparksession', supported_languages=['sql'] %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set stored = load_cached_relation(this) -%}
    {%- set new_rows = api.Relation.create(identifier=this.identifier ~ '__dbt_tmp', type='view') -%}
    {%- set unique_key = config.get('unique_key') -%}
    {%- set keys = [unique_key] if unique_key is string else (unique_key or []) -%}
    {%- set on_schema_change = incremental_validate_on_schema_change(config.get('on_schema_change'), default='ignore') -%}
    {{ run_hooks(pre_hooks) }}
    {%- set day = config.get('partition_by') or (day_among(keys[0], compiled_code) if keys | length == 1) -%}

    {%- if stored is none or stored.is_view or should_full_refresh() -%}
        {%- do write_beside(target_relation, compiled_code, day) -%}
    {%- else -%}
        {%- call statement('new_rows') -%}
            {{- get_assert_columns_equivalent(compiled_code) if config.get('contract').enforced }}
            create or replace temporary view {{ new_rows }} as {{ compiled_code }}
        {%- endcall -%}
        {%- do process_schema_changes(on_schema_change, new_rows, stored) -%}
        {%- set columns = adapter.get_columns_in_relation(stored) | map(attribute='quoted') | join(', ') -%}
        {%- if not keys -%}
            {%- call statement('main') -%}
                insert into table {{ target_relation }} select {{ columns }} from {{ new_rows }}
            {%- endcall -%}
        {%- else -%}
            {%- set kept_and_new_rows -%}
                {%- if keys != [day] %}
                select {{ columns }}
                from {{ target_relation }} as stored_rows
                where not exists (
                    select 1 as is_replaced
                    from {{ new_rows }} as new_rows
                    where {% for key in keys %}stored_rows.{{ key }} <=> new_rows.{{ key }}{{ ' and ' if not loop.last }}{% endfor %}
                )
                    {{ 'and ' ~ day ~ ' in (select ' ~ day ~ ' from ' ~ new_rows ~ ')' if day }}
                union all
                {%- endif %}
                select {{ columns }} from {{ new_rows }}
            {%- endset -%}
            {%- if day -%}
                {%- call statement('main') -%}
                    insert overwrite table {{ target_relation }} partition ({{ day }})
                    {{ in_even_files(kept_and_new_rows, day) }}
                {%- endcall -%}
            {%- else -%}
                {%- do write_beside(target_relation, kept_and_new_rows, none) -%}
            {%- endif -%}
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
