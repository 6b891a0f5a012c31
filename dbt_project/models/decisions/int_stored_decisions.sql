{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='as_of_date',
    full_refresh=false,
    on_schema_change='append_new_columns',
) }}

-- Every decision ever made, without what the rest of its row says: retention_actions_history shows whole rows.
{% set signals = {} -%}
{% for signal in reason_signals() -%}{% do signals.update({'signal_' ~ signal: 'double'}) %}{% endfor -%}
{% set found = dict(
    dict(decision_types(), **signals),
    row_hash='string', decided_at='timestamp', updated_at='timestamp', dbt_invocation_id='string',
) -%}

with decisions as (

    select * from {{ ref('int_decisions') }}

),

-- Reason signals as at the decision, so that later evidence on the offers needs no recomputation.
candidates as (

    select * from {{ ref('int_decision_candidates') }}

),

run as (

    select * from {{ ref('int_run') }}

),

before as (

    select *
    from {{ own_earlier_runs('retention_actions_history', {
        'action_id': 'string', 'as_of_date': 'date', 'row_hash': 'string', 'decided_at': 'timestamp', 'updated_at': 'timestamp',
        'dbt_invocation_id': 'string',
    }) }} as history

),

-- Rows of a date are kept once its actions have begun to be executed.
replaceable as (

    select decisions.*
    from decisions
    inner join run on not run.is_frozen

),

dated as (

    select
        {% for column in decision_columns() -%}
            replaceable.{{ column }},
        {% endfor -%}
        {% for signal in signals -%}
            candidates.{{ signal }},
        {% endfor -%}
        coalesce(before.decided_at, {{ run_time() }}) as decided_at,
        case when before.row_hash = replaceable.row_hash then before.updated_at else {{ run_time() }} end
            as updated_at,
        case when {{ is_picked() }} then replaceable.row_hash end as row_hash,
        case
            when before.row_hash = replaceable.row_hash then before.dbt_invocation_id
            else '{{ invocation_id }}'
        end as dbt_invocation_id
    from replaceable
    left join before
        on replaceable.as_of_date = before.as_of_date and replaceable.action_id = before.action_id
    left join candidates
        on replaceable.customer_id = candidates.customer_id and replaceable.as_of_date = candidates.as_of_date

),

{% if holds_whole_rows() -%}
-- A table of whole rows is taken over once; a row_hash made by another rule stays with its row.
{{- refuse_unknown_columns(found) }}
whole_rows as (

    select
        history.*,
        {{ row_hash(decision_types()) }} as made_hash
    from {{ own_earlier_runs('retention_actions_history', found) }} as history

),

taken_over as (

    select
        {% for column in found if column != 'row_hash' -%}
            whole_rows.{{ column }},
        {% endfor -%}
        case when {{ is_picked() }} or whole_rows.row_hash <> whole_rows.made_hash then whole_rows.row_hash end
            as row_hash
    from whole_rows
    inner join run on whole_rows.as_of_date <> run.as_of_date or run.is_frozen

),
{%- endif %}

all_rows as (

    select
        {% for column in found -%}
            {{ column }},
        {% endfor -%}
        {{ rationale_pattern() }} as pattern
    from dated
    {% if holds_whole_rows() -%}
    union all
    select
        {% for column in found -%}
            {{ column }},
        {% endfor -%}
        {{ rationale_pattern() }} as pattern
    from taken_over
    {%- endif %}

),

stored as (

    select
        {% for column, type in stored_decision_types().items() -%}
            cast({{ column }} as {{ type }}) as {{ column }},
        {% endfor -%}
        {{ stored_rationale() }},
        {% for signal in signals -%}
            cast({{ signal }} as double) as {{ signal }},
        {% endfor -%}
        cast(row_hash as string) as row_hash,
        cast(decided_at as timestamp) as decided_at,
        cast(updated_at as timestamp) as updated_at,
        cast(dbt_invocation_id as string) as dbt_invocation_id
    from all_rows

)

select * from stored
