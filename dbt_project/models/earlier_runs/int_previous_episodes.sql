-- The episodes that earlier runs opened: the first pick of a customer, by the policy or by a trial, decides what is
-- done with that customer for a horizon. Arms are drawn by the ordinal of the episode.
with previous_actions as (

    select * from {{ ref('int_previous_actions') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

episodes as (

    select
        previous_actions.customer_id,
        previous_actions.action_id,
        previous_actions.as_of_date as opened_on,
        cast({{ add_days('previous_actions.as_of_date', 'parameters.horizon_days') }} as date) as ends_on,
        previous_actions.arm,
        previous_actions.action,
        cast(
            row_number() over (
                partition by previous_actions.customer_id
                order by previous_actions.as_of_date
            ) as integer
        ) as episode_number
    from previous_actions
    cross join parameters
    where previous_actions.arm in ('policy', 'pick_holdout', 'trial')

)

select * from episodes
