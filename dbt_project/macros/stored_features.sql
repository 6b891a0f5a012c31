{#- Stops the run, naming the command, when customer_features is stored with other columns than its YAML declares. -#}
{% macro check_stored_features() %}
    {%- if execute and not flags.FULL_REFRESH -%}
        {%- set stored = adapter.get_relation(
            database=target.database, schema=target.schema, identifier='customer_features') -%}
        {%- if stored is not none -%}
            {%- set stored_names = adapter.get_columns_in_relation(stored) | map(attribute='name') | map('lower') | list -%}
            {%- set declared_names = graph.nodes['model.bayespilot.customer_features'].columns.keys() | map('lower') | list -%}
            {%- set missing = declared_names | reject('in', stored_names) | list -%}
            {%- set surplus = stored_names | reject('in', declared_names) | list -%}
            {%- if missing or surplus -%}
                {{ exceptions.raise_compiler_error(
                    "customer_features is stored with other columns than customer_features.yml declares.\n"
                    ~ "  missing in the table: " ~ (missing[:5] | join(', ') or 'none') ~ "\n"
                    ~ "  not declared any more: " ~ (surplus[:5] | join(', ') or 'none') ~ "\n"
                    ~ "  next: dbt build --full-refresh (rebuilds the features from the raw data;"
                    ~ " history and decisions stay as they are)") }}
            {%- endif -%}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
