{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='as_of_date',
    full_refresh=false,
    on_schema_change='append_new_columns',
) }}

with decisions as (

    select * from {{ ref('int_decisions') }}

),

-- Reason signals as at the decision, so that later evidence on the offers needs no recomputation.
signals as (

    select * from {{ ref('int_decision_candidates') }}

),

run as (

    select * from {{ ref('int_run') }}

),

stored as (

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
        replaceable.action_id,
        replaceable.customer_id,
        replaceable.as_of_date,
        cast(coalesce(stored.decided_at, {{ run_time() }}) as timestamp) as decided_at,
        cast(
            case when stored.row_hash = replaceable.row_hash then stored.updated_at else {{ run_time() }} end
            as timestamp
        ) as updated_at,
        replaceable.row_hash,
        {% for column in decision_columns() if column not in ('action_id', 'customer_id', 'as_of_date') -%}
            replaceable.{{ column }},
        {% endfor -%}
        {% for signal in reason_signals() -%}
            cast(signals.signal_{{ signal }} as double) as signal_{{ signal }},
        {% endfor -%}
        cast(
            case
                when stored.row_hash = replaceable.row_hash then stored.dbt_invocation_id
                else '{{ invocation_id }}'
            end as string
        ) as dbt_invocation_id
    from replaceable
    left join stored
        on replaceable.as_of_date = stored.as_of_date and replaceable.action_id = stored.action_id
    left join signals
        on replaceable.customer_id = signals.customer_id and replaceable.as_of_date = signals.as_of_date

)

select * from dated
