{#-
    The log of the service's decisions of its last 40 days, as a subquery: Parquet by day beside the warehouse. Without a
    log the relation is empty but typed. Older days are not opened: the nightly cost does not grow with the log.

    columns: a mapping of column name to SQL type.
-#}
{% macro served_log(columns) -%}
    {%- set files = [] -%}
    {%- if execute and target.type == 'duckdb' -%}
        {%- set folder = served_log_folder() -%}
        {%- set found = run_query(
            "select file from glob(" ~ sql_text(folder ~ '/day=*/*.parquet') ~ ") qualify"
            ~ " cast(regexp_extract(file, 'day=([0-9-]{10})', 1) as date) > max(cast(regexp_extract(file,"
            ~ " 'day=([0-9-]{10})', 1) as date)) over () - 40 order by file") -%}
        {%- for row in found.rows -%}{%- do files.append(sql_text(row[0])) -%}{%- endfor -%}
    {%- endif -%}
    {{ typed_rows(columns, "read_parquet([" ~ files | join(', ') ~ "], hive_partitioning = false)" if files else none) }}
{%- endmacro %}

{#- The rows of the log that are not Parquet yet, as a subquery like `served_log`. -#}
{% macro served_journal(columns) -%}
    {%- set files = [] -%}
    {%- if execute and target.type == 'duckdb' -%}
        {%- set found = run_query(
            "select file from glob(" ~ sql_text(served_log_folder() ~ '/journal.jsonl') ~ ")") -%}
        {%- for row in found.rows -%}{%- do files.append(sql_text(row[0])) -%}{%- endfor -%}
    {%- endif -%}
    {%- set types = [] -%}
    {%- for name, type in columns.items() -%}{%- do types.append(name ~ ": '" ~ type ~ "'") -%}{%- endfor -%}
    {#- A line that is being written cannot be read yet. -#}
    {{ typed_rows(
        columns,
        "read_json(" ~ files[0] ~ ", format = 'newline_delimited', ignore_errors = true, columns = {"
        ~ types | join(', ') ~ "}) where decision_id is not null" if files else none
    ) }}
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
    {{- return(modules.re.sub('[^/]*$', '', target.path) ~ 'serving/' ~ var('source', 'demo')) -}}
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
