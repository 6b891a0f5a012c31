-- Each planned contact is expected to return more than it costs; no action costs nothing.
with actions as (

    select * from {{ ref('retention_actions') }}

),

worthless as (

    select
        action_id,
        planned_action,
        expected_cost,
        incremental_expected_value
    from actions
    where (planned_action <> 'no_action' and arm <> 'trial' and incremental_expected_value <= 0)
        or (planned_action = 'no_action' and (expected_cost <> 0 or incremental_expected_value <> 0))

)

select * from worthless
