-- The arm, the action and the suppression reason of a row agree.
with actions as (

    select * from {{ ref('retention_actions') }}

),

contradictions as (

    select
        action_id,
        arm,
        action,
        planned_action,
        suppression_reason
    from actions
    where (arm in ('universal_holdout', 'suppressed', 'not_chosen') and planned_action <> 'no_action')
        or (arm in ('universal_holdout', 'suppressed', 'not_chosen', 'pick_holdout') and action <> 'no_action')
        or (arm in ('policy', 'pick_holdout') and planned_action = 'no_action')
        or (arm = 'policy' and action <> planned_action)
        or (arm = 'suppressed' and suppression_reason is null)
        or (arm <> 'suppressed' and suppression_reason is not null)
        or (action = 'no_action' and channel is not null)
        or (action <> 'no_action' and channel is null)

)

select * from contradictions
