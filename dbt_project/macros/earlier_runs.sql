{#-
    The rows that earlier runs left in a table of this project, as a subquery: the only way from the end of a run to
    the start of the next. They are read from history_from, so that a target for development or CI decides on
    production's history.

    columns: a mapping of column name to SQL type.
-#}
{% macro earlier_runs(table_name, columns) -%}
    {{ rows_stored_before(history_from(), table_name, columns) }}
{%- endmacro %}

{#- The same for what a run must know of this target's own tables, wherever its history comes from. -#}
{% macro own_earlier_runs(table_name, columns) -%}
    {{ rows_stored_before(own_place(), table_name, columns) }}
{%- endmacro %}

{#-
    The rows of a stored table, as a subquery. Before the first run the table does not exist: the relation is empty but
    typed. A column that the stored table lacks (it was added to the project since) reads as a typed null.
-#}
{% macro rows_stored_before(place, table_name, columns) -%}
    {%- set stored = none -%}
    {%- if execute -%}
        {%- set stored = adapter.get_relation(database=place.database, schema=place.schema, identifier=table_name) -%}
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

{#- Database and schema of this target; there is no database where the engine has schemas alone. -#}
{% macro own_place() -%}
    {{ return({'database': target.database, 'schema': target.schema}) }}
{%- endmacro %}

{#- Database and schema that earlier runs are read from: those of the variable history_from, or the target's own. -#}
{% macro history_from() -%}
    {%- set given = var('history_from', none) -%}
    {%- if not given -%}{{ return(own_place()) }}{%- endif -%}
    {%- set parts = (given | string).split('.') -%}
    {{ return({'database': parts[0] if target.database else target.database, 'schema': parts[-1]}) }}
{%- endmacro %}

{#- Whether earlier runs are those of another target: this one then keeps no history of its own, and is not published. -#}
{% macro history_is_elsewhere() -%}
    {{ return(history_from() != own_place()) }}
{%- endmacro %}

{#- Whether there is a history where history_from points; a target's own begins with its first run. -#}
{% macro holds_history() %}
    {%- set place = history_from() -%}
    {%- set history = adapter.get_relation(
        database=place.database, schema=place.schema, identifier='retention_actions_history') -%}
    {{ return(history is not none or not history_is_elsewhere()) }}
{% endmacro %}

{#- The columns of a decision that later runs read, and their types. -#}
{% macro previous_columns() %}
    {%- set columns = {
        'action_id': 'string', 'customer_id': 'string', 'as_of_date': 'date', 'action': 'string',
        'planned_action': 'string', 'channel': 'string', 'risk_tier': 'string', 'churn_probability': 'double',
        'customer_value': 'double', 'relative_risk': 'double', 'effect_source': 'string', 'expected_cost': 'double',
        'incremental_expected_value': 'double', 'arm': 'string', 'propensity': 'double',
        'propensity_no_action': 'double', 'valid_from': 'date', 'valid_to': 'date', 'pipeline_version': 'string',
        'policy_version': 'string',
    } -%}
    {%- for signal in reason_signals() -%}{%- do columns.update({'signal_' ~ signal: 'double'}) -%}{%- endfor -%}
    {{ return(columns) }}
{% endmacro %}

{#- Whether a run builds on what earlier runs of this target kept; else it computes everything from history anew. -#}
{% macro builds_on_what_is_kept() -%}
    {{ return(not flags.FULL_REFRESH and not history_is_elsewhere()) }}
{%- endmacro %}

{#- Deletes kept decisions from the date of the run on: a build that failed later may have kept what is decided anew. -#}
{% macro forget_later_decisions() %}
    {%- set run = ref('int_run') -%}
    {%- set later = "as_of_date >= (select max(as_of_date) from " ~ run ~ ")" -%}
    {%- if is_incremental() -%}
        {{ delete_rows(this, later if builds_on_what_is_kept() else 'true', 'as_of_date') }}
    {%- endif -%}
{% endmacro %}

{#- The decisions of the service, as a subquery: of the target whose history is read. -#}
{% macro served_decisions() -%}
    {%- set own = ref('int_served_actions') -%}
    {{ earlier_runs('int_served_actions', previous_columns()) if history_is_elsewhere() else own }}
{%- endmacro %}

{#- Deletes what is kept of this target's own history where a run reads that of another. -#}
{% macro forget_own_months() %}
    {%- if is_incremental() and history_is_elsewhere() -%}{{ delete_rows(this, 'true', 'outcome_month') }}{%- endif -%}
{% endmacro %}
