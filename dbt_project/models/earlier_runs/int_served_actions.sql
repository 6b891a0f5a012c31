{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='action_id',
    partition_by=partition_column('as_of_date'),
    full_refresh=false,
    on_schema_change='append_new_columns',
) }}

-- The episodes that the service opened, kept for good: the log itself may be cleared.
with decisions as (

    select * from {{ ref('int_served_decisions') }}

),

numbered as (

    select
        *,
        row_number() over (partition by action_id order by decided_at, decision_id) as decision_rank
    from decisions
    where opens_episode

),

actions as (

    select
        {% for column, type in previous_columns().items() if not column.startswith('signal_') -%}
            cast({{ column }} as {{ type }}) as {{ column }},
        {% endfor -%}
        {% for signal in reason_signals() -%}
            cast(signals['{{ signal }}'] as double) as signal_{{ signal }},
        {% endfor -%}
        cast(decided_at as timestamp) as decided_at
    from numbered
    where decision_rank = 1

)

select * from actions
