-- Priorities number the rows with an action from 1 without gaps; other rows have none.
with actions as (

    select * from {{ ref('retention_actions') }}

),

numbered as (

    select
        action_id,
        action,
        priority,
        row_number() over (order by priority) as expected_priority
    from actions
    where action <> 'no_action'

),

misnumbered as (

    select action_id
    from numbered
    where priority is null or priority <> expected_priority
    union all
    select action_id
    from actions
    where action = 'no_action' and priority is not null

)

select * from misnumbered
