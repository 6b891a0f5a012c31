-- The open rows of retention_actions_sync are the rows of retention_actions_deliverable.
with sync as (

    select * from {{ ref('retention_actions_sync') }}

),

deliverable as (

    select * from {{ ref('retention_actions_deliverable') }}

),

open_actions as (

    select action_id
    from sync
    where status = 'open'

),

differing as (

    select
        open_actions.action_id as open_action,
        deliverable.action_id as delivered_action
    from open_actions
    full outer join deliverable on open_actions.action_id = deliverable.action_id
    where open_actions.action_id is null or deliverable.action_id is null

)

select * from differing
