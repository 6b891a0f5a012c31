{#- The nodes of the tables that the chosen source declares in its sources.yml. -#}
{% macro declared_raw_tables() %}
    {%- set tables = [] -%}
    {%- for node in graph.sources.values() | sort(attribute='name') if node.source_name == var('source') -%}
        {%- do tables.append(node) -%}
    {%- endfor -%}
    {{ return(tables) }}
{% endmacro %}

{#- The SQL expression that the source declares as `meta: data_ends_on`; {table} stands for a raw table of the source. -#}
{% macro data_ends_on() %}
    {%- if not execute -%}{{ return("cast(null as date)") }}{%- endif -%}
    {%- set found = namespace(expression=none) -%}
    {%- for node in declared_raw_tables() -%}
        {%- set meta = node.source_meta or node.meta or node.config.meta -%}
        {%- if meta and meta.get('data_ends_on') -%}{%- set found.expression = meta['data_ends_on'] -%}{%- endif -%}
    {%- endfor -%}
    {%- if found.expression is none -%}
        {{ exceptions.raise_compiler_error(
            "The source '" ~ var('source') ~ "' declares no data_ends_on.\n"
            ~ "  where: dbt_project/sources/" ~ var('source') ~ "/sources.yml, config: meta: data_ends_on\n"
            ~ "  next: declare a SQL expression there, such as \"date '2026-10-31'\" or \"current_date - 1\"") }}
    {%- endif -%}
    {%- for node in declared_raw_tables() -%}
        {%- set found.expression = found.expression
            | replace('{' ~ node.name ~ '}', source(node.source_name, node.name) | string) -%}
    {%- endfor -%}
    {{ return("cast(" ~ found.expression ~ " as date)") }}
{% endmacro %}

{#-
    Stops the run before anything changes when a declared raw table is missing, lacks a column, or holds
    another kind of type than sources.yml states (text where a number belongs). Tables whose columns declare no data_type are not compared.
-#}
{% macro check_raw_tables() %}
    {%- if execute and flags.WHICH in ('build', 'run') and not flags.EMPTY -%}
        {%- set faults = [] -%}
        {%- for node in declared_raw_tables() -%}
            {%- set relation = source(node.source_name, node.name) -%}
            {%- set actual = raw_columns(relation) -%}
            {%- if actual is none -%}
                {%- do faults.append("raw table " ~ node.name ~ " is missing: no file at " ~ relation) -%}
            {%- else -%}
                {%- do faults.extend(raw_column_faults(node, relation, actual)) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if faults -%}
            {{ exceptions.raise_compiler_error(without_credentials(
                "The raw data of source '" ~ var('source') ~ "' is not what its sources.yml declares.\n  - "
                ~ faults[:5] | join("\n  - ")
                ~ ("\n  - and " ~ (faults | length - 5) ~ " more" if faults | length > 5 else "")
                ~ "\n  where: dbt_project/sources/" ~ var('source') ~ "/sources.yml"
                ~ (", raw folder RETENTION_DATA=" ~ env_var('RETENTION_DATA', '') if env_var('RETENTION_DATA', '') else "")
                ~ "\n  next: correct the file (or the declaration with its staging select), then run dbt build again;"
                ~ " nothing has been changed")) }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}

{#-
    Stops the run before its first node when the address of a raw table holds a name, password or token: views and compiled
    SQL would keep it, and DuckDB's errors print it. Called by on-run-start.
-#}
{% macro check_raw_addresses() %}
    {%- if execute -%}
        {%- for node in declared_raw_tables() -%}
            {%- set address = (node.source_meta or {}).get('external_location', '') | string -%}
            {%- if without_credentials(address) != address -%}
                {{ exceptions.raise_compiler_error(
                    "The address of the raw data holds credentials: " ~ without_credentials(address)
                    ~ "\n  where: RETENTION_DATA, or external_location in dbt_project/sources/" ~ var('source') ~ "/sources.yml"
                    ~ "\n  next: give the address without them and the credentials as a DuckDB secret (secrets in profiles.yml),"
                    ~ " then run the command again; nothing has been changed") }}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}

{#- A text in which names, passwords and tokens of addresses are masked, as models_ml.errors does it. -#}
{% macro without_credentials(text) %}
    {%- set without_users = modules.re.sub("(?<=://)[^\\s\"'<>]*@", "***@", text) -%}
    {{ return(modules.re.sub(
        "(?i)([?&;\\s](?:[\\w-]*(?:password|passwd|pwd|token|secret|signature|api_?key|access_?key)|sig)=)[^&;\\s\"'<>]+",
        "\\1***", without_users
    )) }}
{% endmacro %}

{#- Types that staging may cast to each other without loss of meaning share a kind. -#}
{% macro kind_of_type(type) %}
    {%- set name = type.split('(')[0] | trim | lower -%}
    {%- if name.endswith(('int', 'integer')) or name in ('decimal', 'numeric', 'double', 'float', 'real') -%}
        {{ return('number') }}
    {%- elif name in ('string', 'varchar', 'text') -%}
        {{ return('text') }}
    {%- endif -%}
    {{ return('time' if name.startswith(('date', 'timestamp')) else name) }}
{% endmacro %}

{#- Whether a column holds any value: without one, a file says nothing of its type (a CSV yields text). -#}
{% macro holds_values(relation, name) %}
    {{ return(run_query("select count(" ~ name ~ ") as row_count from " ~ relation).columns[0].values()[0] > 0) }}
{% endmacro %}

{#- A text as the type that sources.yml declares, null where it is none; days and times in the format of the file. -#}
{% macro as_declared(relation, name, type) %}
    {%- set format = modules.re.search(
        {'date': "dateformat", 'timestamp': "timestampformat"}.get(type | lower, "no format") ~ " = '([^']+)'",
        relation | string
    ) -%}
    {{ return(
        "try_strptime(cast(" ~ name ~ " as string), '" ~ format.group(1) ~ "')" if format
        else "try_cast(" ~ name ~ " as " ~ type ~ ")"
    ) }}
{% endmacro %}

{% macro raw_column_faults(node, relation, actual) %}
    {%- set actual_types = {} -%}
    {%- for name, type in actual -%}{%- do actual_types.update({name | lower: type}) -%}{%- endfor -%}
    {%- set faults = [] -%}
    {%- for column in node.columns.values() if column.data_type -%}
        {%- set found = actual_types.get(column.name | lower) -%}
        {%- set name = adapter.quote(column.name) -%}
        {%- if found is none -%}
            {%- do faults.append("raw table " ~ node.name ~ " lacks column " ~ column.name ~ " in " ~ relation) -%}
        {%- elif kind_of_type(found) != kind_of_type(column.data_type) and holds_values(relation, name) -%}
            {%- set values = run_query(
                "select distinct cast(" ~ name ~ " as string) as value from " ~ relation
                ~ " where " ~ name ~ " is not null and " ~ as_declared(relation, name, column.data_type)
                ~ " is null order by 1 limit 5"
            ).columns[0].values() -%}
            {%- do faults.append(
                "raw table " ~ node.name ~ ", column " ~ column.name ~ ": " ~ found ~ " where "
                ~ column.data_type ~ " is declared"
                ~ ("; first values: " ~ values | join(", ") if values else "") ~ " in " ~ relation) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(faults) }}
{% endmacro %}

{#-
    The first day of a CTE with `day` and `day_rows`, in one row. Days before a gap of more than a year count only if they
    hold at least one row in a hundred: one odd date moves nothing.
-#}
{% macro first_day_without_strays(days) %}
    select min(day) as first_day
    from (
        select
            day,
            max(case when is_after_stray_days then day end) over () as first_real_day
        from (
            select
                day,
                coalesce(
                    {{ days_between('lag(day) over (order by day)', 'day') }} > 366
                    and 100 * (sum(day_rows) over (order by day) - day_rows) < sum(day_rows) over (), false
                ) as is_after_stray_days
            from {{ days }}
        ) as judged_days
    ) as numbered_days
    where first_real_day is null or day >= first_real_day
{% endmacro %}
