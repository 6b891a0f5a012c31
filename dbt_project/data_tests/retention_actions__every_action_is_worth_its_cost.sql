-- Each planned contact is expected to return more than it costs; no action costs nothing. What is done is said to cost
-- and to bring what was planned, and what is not done says nothing.
with actions as (

    select * from {{ ref('retention_actions') }}

),

worthless as (

    select
        action_id,
        planned_action,
        expected_cost,
        incremental_expected_value,
        planned_cost,
        planned_value
    from actions
    where (planned_action <> 'no_action' and arm <> 'trial' and planned_value <= 0)
        or (planned_action = 'no_action' and (planned_cost <> 0 or planned_value <> 0))
        or (action = 'no_action' and (expected_cost is not null or incremental_expected_value is not null))
        or (
            action <> 'no_action'
            and (
                coalesce(expected_cost <> planned_cost, true)
                or coalesce(incremental_expected_value <> planned_value, true)
            )
        )

)

select * from worthless
