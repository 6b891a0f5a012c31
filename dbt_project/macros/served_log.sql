{#-
    The log of the service's decisions of its last 40 days, as a subquery: Parquet by day beside the warehouse. Without a
    log the relation is empty but typed. Older days are not opened: the nightly cost does not grow with the log.

    columns: a mapping of column name to SQL type.
-#}
{% macro served_log(columns) -%}
    {%- set days = {} -%}
    {%- for file in (files_like(served_log_folder() ~ '/day=*/*.parquet') if execute else []) -%}
        {%- do days.setdefault(modules.re.search('day=([0-9-]{10})', file).group(1), []).append(file) -%}
    {%- endfor -%}
    {%- set recent = [] -%}
    {%- if days -%}
        {%- set first_day = modules.datetime.date.fromisoformat(days | max) - modules.datetime.timedelta(days=39) -%}
        {%- for day, files in days.items() if day >= first_day | string -%}{%- do recent.extend(files) -%}{%- endfor -%}
    {%- endif -%}
    {{ typed_rows(columns, rows_of_parquet(recent) if recent else none) }}
{%- endmacro %}

{#- The rows of the log that are not Parquet yet, as a subquery like `served_log`. -#}
{% macro served_journal(columns) -%}
    {%- set files = files_like(served_log_folder() ~ '/journal.jsonl') if execute else [] -%}
    {#- A line that is being written cannot be read yet. -#}
    {{ typed_rows(columns, rows_of_json(files[0], columns) ~ ' where decision_id is not null' if files else none) }}
{%- endmacro %}

{#- The columns of what `rows` reads, cast, as a subquery; empty but typed where `rows` is none. -#}
{% macro typed_rows(columns, rows) -%}
    (
        select
        {%- for name, type in columns.items() %}
            cast({{ name if rows else 'null' }} as {{ type }}) as {{ name }}
            {%- if not loop.last %},{% endif %}
        {%- endfor %}
        from {{ rows or '(select 1 as no_row) as no_log where false' }}
    )
{%- endmacro %}

{#- The folder of the log: that of the warehouse. -#}
{% macro served_log_folder() %}
    {{- return(warehouse_folder() ~ 'serving/' ~ var('source', 'demo')) -}}
{% endmacro %}

{#- The columns of a decision of the service that the log keeps, and their types. -#}
{% macro served_columns() %}
    {{ return({
        'decision_id': 'string', 'decided_at': 'timestamp', 'customer_id': 'string', 'action_id': 'string',
        'as_of_date': 'date', 'action': 'string', 'planned_action': 'string', 'channel': 'string',
        'risk_tier': 'string', 'churn_probability': 'double', 'customer_value': 'double', 'relative_risk': 'double',
        'effect_source': 'string', 'expected_cost': 'double', 'incremental_expected_value': 'double',
        'arm': 'string', 'propensity': 'double', 'propensity_no_action': 'double', 'valid_from': 'date',
        'valid_to': 'date', 'suppression_reason': 'string', 'decided_by': 'string', 'opens_episode': 'boolean',
        'nightly_action': 'string', 'latency_ms': 'double', 'customers_in_request': 'integer', 'run_id': 'string',
        'pipeline_version': 'string', 'policy_version': 'string', 'signals': map_type('string', 'double'),
        'feature_bins': map_type('string', 'smallint'),
    }) }}
{% endmacro %}
