{{ config(materialized='view') }}

with stored as (

    select * from {{ by_its_name(ref('int_stored_decisions')) }}

),

whole as (

    select
        {{ action_id_of('customer_id', 'as_of_date') }} as action_id,
        {% for column in stored_decision_types() -%}
            {{ column }},
        {% endfor -%}
        coalesce(rationale, {{ filled_pattern('rationale_pattern') }}) as rationale,
        {% for signal in reason_signals() -%}
            signal_{{ signal }},
        {% endfor -%}
        row_hash as stored_hash,
        decided_at,
        updated_at,
        dbt_invocation_id
    from stored

),

history as (

    select
        cast(action_id as string) as action_id,
        customer_id,
        as_of_date,
        decided_at,
        updated_at,
        cast(coalesce(stored_hash, {{ row_hash(decision_types()) }}) as string) as row_hash,
        {% for column in decision_columns() if column not in ('action_id', 'customer_id', 'as_of_date') -%}
            {{ column }},
        {% endfor -%}
        {% for signal in reason_signals() -%}
            signal_{{ signal }},
        {% endfor -%}
        dbt_invocation_id
    from whole

)

select * from history
