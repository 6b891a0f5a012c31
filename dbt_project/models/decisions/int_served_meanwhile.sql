{{ config(materialized='table') }}

-- Episodes that the service has opened since the run read its log: read when the run has decided, before it says what
-- may be executed.
-- depends_on: {{ ref('retention_actions_history') }}
{% set columns = {
    'decision_id': 'string', 'customer_id': 'string', 'action_id': 'string', 'as_of_date': 'date',
    'opens_episode': 'boolean',
} -%}

with journal as (

    select * from {{ served_journal(columns) }} as journal_rows

),

log as (

    select * from {{ served_log(columns) }} as log_rows

),

known as (

    select action_id from {{ ref('int_served_actions') }}

),

decisions as (

    select * from journal
    union all
    select * from log

),

episodes as (

    select
        decisions.action_id,
        min(decisions.customer_id) as customer_id,
        min(decisions.as_of_date) as as_of_date
    from decisions
    left join known on decisions.action_id = known.action_id
    where decisions.opens_episode and known.action_id is null
    group by decisions.action_id

)

select * from episodes
