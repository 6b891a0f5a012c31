{#-
    Contribution of one bin to the population stability index, (share - expected) * ln(share / expected), in whole
    billionths so that the sum over bins does not depend on their order. Never negative, zero for equal shares;
    both shares count as at least `floor`.
-#}
{% macro population_stability(share, expected, floor) -%}
    cast(round(
        1000000000
        * (greatest({{ share }}, {{ floor }}) - greatest({{ expected }}, {{ floor }}))
        * ln(greatest({{ share }}, {{ floor }}) / greatest({{ expected }}, {{ floor }}))
    ) as bigint)
{%- endmacro %}

{#- Share that an empty bin counts as: one row of the smaller side, or share_floor where there are very many rows. -#}
{% macro smallest_share(reference_rows, customers) -%}
    greatest(share_floor, 1 / cast(least({{ reference_rows }}, {{ customers }}) as double))
{%- endmacro %}

{#- Status of an index: beyond a limit, and beyond what random variation gives for so few rows. -#}
{% macro stability_status(index, index_by_chance) -%}
    case
        when {{ index }} <= {{ index_by_chance }} then 'ok'
        when {{ index }} > psi_alert then 'alert'
        when {{ index }} > psi_warn then 'warn'
        else 'ok'
    end
{%- endmacro %}

{#- A log of runs: one set of rows per as_of_date, that a re-run replaces and a full refresh keeps. -#}
{% macro run_log() -%}
    {{ config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='as_of_date',
        full_refresh=false,
        on_schema_change='append_new_columns',
    ) }}
{%- endmacro %}
