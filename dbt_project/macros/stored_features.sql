{#- The rows of a model at the run's date, as a subquery; a view over all stored dates is then computed for one. -#}
{% macro rows_of_run(model) -%}
    (select * from {{ ref(model) }} where as_of_date = (select max(as_of_date) from {{ ref('int_run') }}))
{%- endmacro %}

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

{#-
    Deletes the stored features of the dates that are built, so that a date without any customer at risk keeps none of an
    earlier attempt, and those of earlier nights: they would grow by all customers each night. Training dates and dates of
    past trials are kept.
-#}
{% macro forget_dates() %}
    {%- set run, parameters, limits = ref('int_run'), ref('int_policy_parameters'), ref('int_monitoring_limits') -%}
    {%- set feature_dates, trial_dates = ref('int_feature_dates'), ref('int_trial_dates') -%}
    {%- set forgotten -%}
        as_of_date in (
            select stored.as_of_date
            from (select distinct as_of_date from {{ this }}) as stored
            cross join {{ run }} as run
            cross join {{ parameters }} as parameters
            cross join {{ limits }} as limits
            where stored.as_of_date in (select as_of_date from {{ feature_dates }})
                or (
                    stored.as_of_date < {{ add_days('run.as_of_date', '-limits.kept_feature_days') }}
                    and not {{ is_training_date('stored.as_of_date', 'parameters.training_step_days') }}
                    and stored.as_of_date not in (select as_of_date from {{ trial_dates }})
                )
        )
    {%- endset -%}
    {%- if is_incremental() -%}{{ delete_rows(this, forgotten, 'as_of_date') }}{%- endif -%}
{% endmacro %}

{#- Deletes the fingerprints of dates whose features are not stored any more. -#}
{% macro forget_fingerprints() %}
    {%- set features = ref('customer_features') -%}
    {%- if is_incremental() -%}
        {{ delete_rows(this, "as_of_date not in (select distinct as_of_date from " ~ features ~ ")", 'as_of_date') }}
    {%- endif -%}
{% endmacro %}

{#-
    The stored dates that `--vars '{rebuild_dates: [2026-06-30, 2026-07-31]}'` builds again, one row each. What is no date is
    refused when a run begins, with the other variables.
-#}
{% macro rebuild_dates() -%}
    select cast(null as date) as as_of_date
    where false
    {%- set asked = var('rebuild_dates', none) or [] -%}
    {%- for asked_day in ([asked] if asked is string or asked is not sequence else asked) | map('string') | unique %}
    union all
    select cast({{ sql_text(asked_day) }} as date) as as_of_date
    {%- endfor %}
{%- endmacro %}
