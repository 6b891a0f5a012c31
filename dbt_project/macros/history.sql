{#-
    How decisions are stored, and read again as whole rows. What the rest of a row says already is not stored: the
    action_id, the numbers within the rationale, and the row_hash of a customer without a planned or drawn contact.
-#}

{#- The columns of a decision that are stored as they are, and their types. -#}
{% macro stored_decision_types() %}
    {%- set types = {} -%}
    {%- for column, type in decision_types().items() if column not in ('action_id', 'rationale') -%}
        {%- do types.update({column: type}) -%}
    {%- endfor -%}
    {{ return(types) }}
{% endmacro %}

{#- The id of the decision on a customer at a date. -#}
{% macro action_id_of(customer_id, as_of_date) -%}
    md5({{ customer_id }} || '/' || cast({{ as_of_date }} as string))
{%- endmacro %}

{#- Texts of the row's own numbers, by the sign that stands for each in the pattern of a rationale. -#}
{% macro rationale_numbers() %}
    {{ return({
        '{risk}': percent_text('churn_probability'),
        '{stake}': "cast(cast(round(customer_value) as bigint) as string) || ' ' || currency",
    }) }}
{% endmacro %}

{#- A rationale without the row's own numbers, so that few texts serve all customers; reads the column rationale. -#}
{% macro rationale_pattern() -%}
    {%- set text = namespace(sql='rationale') -%}
    {%- for sign, number in rationale_numbers().items() -%}
        {%- set text.sql = "replace(" ~ text.sql ~ ", " ~ number ~ ", '" ~ sign ~ "')" -%}
    {%- endfor -%}
    {{ text.sql }}
{%- endmacro %}

{#- The rationale of a pattern, with the numbers of the row. -#}
{% macro filled_pattern(pattern) -%}
    {%- set text = namespace(sql=pattern) -%}
    {%- for sign, number in rationale_numbers().items() -%}
        {%- set text.sql = "replace(" ~ text.sql ~ ", '" ~ sign ~ "', " ~ number ~ ")" -%}
    {%- endfor -%}
    {{ text.sql }}
{%- endmacro %}

{#-
    The columns in which a rationale is stored: its pattern where that says all of it, else the text. Reads a column
    `pattern`, made by rationale_pattern.
-#}
{% macro stored_rationale() -%}
    {%- set is_told = filled_pattern('pattern') ~ ' = rationale' -%}
    cast(case when {{ is_told }} then pattern end as string) as rationale_pattern,
    cast(case when {{ is_told }} then null else rationale end as string) as rationale
{%- endmacro %}

{#- Whether a contact was planned or drawn: such a row keeps a row_hash of its own. -#}
{% macro is_picked() -%}
    (action <> 'no_action' or planned_action <> 'no_action' or propensity_no_action < 1)
{%- endmacro %}

{#- Whether this target's history is still a table of whole rows, as it was before int_stored_decisions. -#}
{% macro holds_whole_rows() %}
    {%- set place = own_place() -%}
    {%- set history = adapter.get_relation(
        database=place.database, schema=place.schema, identifier='retention_actions_history') if execute else none -%}
    {{ return(history is not none and not history.is_view) }}
{% endmacro %}

{#- Ends the build where the table of whole rows has columns that would be lost; `columns` are those taken over. -#}
{% macro refuse_unknown_columns(columns) -%}
    {%- set place = own_place() -%}
    {%- set history = adapter.get_relation(
        database=place.database, schema=place.schema, identifier='retention_actions_history') -%}
    {%- set unknown = [] -%}
    {%- for column in adapter.get_columns_in_relation(history) if column.name | lower not in columns -%}
        {%- do unknown.append(column.name) -%}
    {%- endfor -%}
    {%- if unknown -%}
        {{ exceptions.raise_compiler_error(
            "retention_actions_history holds columns that this version does not have, and that int_stored_decisions "
            ~ "would not take over: " ~ unknown[:5] | join(', ') ~ ". Nothing was changed. Rename each to its new name, as "
            ~ "CHANGELOG.md says, or remove it (alter table retention_actions_history drop column " ~ unknown[0]
            ~ "), then run the build again"
        ) }}
    {%- endif -%}
{%- endmacro %}

{#-
    One row per as_of_date of `decisions` (a relation or step with as_of_date and row_hash): how many there are, and a
    hash of their row hashes, in which those of erased rows still count. The hash begins with a sign of the columns that
    they cover; nights of other columns cannot be compared. It is made of parts, so that no text holds all decisions of
    a night.
-#}
{% macro night_hashes(decisions) -%}
    select
        as_of_date,
        cast(sum(part_rows) as bigint) as decisions,
        cast(
            '{{ hashed_columns_sign() }}' || {{ text_hash(join_text('part_hash', "''", 'part')) }} as string
        ) as decisions_hash
    from (
        select
            as_of_date,
            substr(row_hash, 1, 3) as part,
            count(*) as part_rows,
            {{ text_hash(join_text('row_hash', "''", 'row_hash')) }} as part_hash
        from (
            select
                as_of_date,
                row_hash
            from {{ decisions }}
            union all
            select
                as_of_date,
                row_hash
            from {{ ref('erased_actions') }}
        ) as with_erased
        group by as_of_date, substr(row_hash, 1, 3)
    ) as parts
    group by as_of_date
{%- endmacro %}

{#- Eight digits for the columns that a row_hash covers, with a colon. -#}
{% macro hashed_columns_sign() -%}
    {{ local_md5(decision_types().items() | list | string)[:8] }}:
{%- endmacro %}

{#- Runs whose decisions are read from history otherwise than they were made; `of_dates` joins the dates to compare. -#}
{% macro nights_read_otherwise(of_dates='') -%}
    with runs as (

        select
            policy_runs.as_of_date,
            policy_runs.customers_at_risk,
            policy_runs.decisions_hash
        from {{ ref('policy_runs') }} as policy_runs
        {{ of_dates }}
        where policy_runs.decisions_hash like '{{ hashed_columns_sign() }}%'

    ),

    decisions as (

        select
            history.as_of_date,
            history.row_hash
        from {{ ref('retention_actions_history') }} as history
        {{ of_dates | replace('policy_runs', 'history') }}

    ),

    nights as (

        {{ night_hashes('decisions') }}

    )

    select
        runs.as_of_date,
        runs.customers_at_risk,
        nights.decisions,
        runs.decisions_hash as hash_as_decided,
        nights.decisions_hash as hash_as_read
    from runs
    left join nights on runs.as_of_date = nights.as_of_date
    where coalesce(nights.decisions_hash <> runs.decisions_hash, true)
{%- endmacro %}

{#-
    A relation as a view names it that an erasure or another project reads: without the database, which who attaches
    the warehouse may call otherwise, and with its rows where a build with --empty makes the view anew.
-#}
{% macro by_its_name(relation) %}{{ return(relation.include(database=false).render()) }}{% endmacro %}
