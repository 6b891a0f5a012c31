{#-
    The rows that earlier runs left in a table of this project, as a subquery: the only way from the end of a run to
    the start of the next.
    On the first run the table does not exist: the relation is empty but typed. A column that the stored
    table lacks (it was added to the project since) reads as a typed null.

    columns: a mapping of column name to SQL type.
-#}
{% macro earlier_runs(table_name, columns) -%}
    {%- set stored = none -%}
    {%- if execute -%}
        {%- set stored = adapter.get_relation(database=target.database, schema=target.schema, identifier=table_name) -%}
    {%- endif -%}
    {%- set stored_columns = [] -%}
    {%- if stored is not none -%}
        {%- for column in adapter.get_columns_in_relation(stored) -%}
            {%- do stored_columns.append(column.name | lower) -%}
        {%- endfor -%}
    {%- endif -%}
    (
        select
        {%- for name, type in columns.items() %}
            {%- if name in stored_columns %}
            cast({{ name }} as {{ type }}) as {{ name }}
            {%- else %}
            cast(null as {{ type }}) as {{ name }}
            {%- endif -%}
            {%- if not loop.last %},{% endif %}
        {%- endfor %}
        {% if stored is not none -%}
        from {{ stored }}
        {%- else -%}
        from (select 1 as no_row) as no_earlier_run
        where false
        {%- endif %}
    )
{%- endmacro %}

{#- The columns of a decision that later runs read, and their types. -#}
{% macro previous_columns() %}
    {%- set columns = {
        'action_id': 'varchar', 'customer_id': 'varchar', 'as_of_date': 'date', 'action': 'varchar',
        'planned_action': 'varchar', 'channel': 'varchar', 'risk_tier': 'varchar', 'churn_probability': 'double',
        'customer_value': 'double', 'relative_risk': 'double', 'effect_source': 'varchar', 'expected_cost': 'double',
        'incremental_expected_value': 'double', 'arm': 'varchar', 'propensity': 'double',
        'propensity_no_action': 'double', 'valid_from': 'date', 'valid_to': 'date', 'pipeline_version': 'varchar',
        'policy_version': 'varchar',
    } -%}
    {%- for signal in reason_signals() -%}{%- do columns.update({'signal_' ~ signal: 'double'}) -%}{%- endfor -%}
    {{ return(columns) }}
{% endmacro %}
