{{ config(materialized='table') }}

with history as (

    select * from {{ ref('retention_actions_history') }}

),

-- Asked of the table, not of the step above: a step that is read twice is read whole.
latest as (

    select max(as_of_date) as as_of_date
    from {{ ref('retention_actions_history') }}

),

actions as (

    select
        history.action_id,
        history.customer_id,
        history.as_of_date,
        history.decided_at,
        history.updated_at,
        history.row_hash,
        {% for column in decision_columns() if column not in ('action_id', 'customer_id', 'as_of_date') -%}
            history.{{ column }},
        {% endfor -%}
        history.dbt_invocation_id
    from history
    inner join latest on history.as_of_date = latest.as_of_date

)

select * from actions
