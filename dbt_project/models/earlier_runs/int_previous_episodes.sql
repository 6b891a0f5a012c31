-- The episodes that earlier runs opened: the first pick of a customer, by the policy or by a trial, decides what is
-- done with that customer for a horizon. Arms are drawn by the ordinal of the episode.
with lasting_decisions as (

    select * from {{ ref('int_lasting_decisions') }}

),

episodes as (

    select
        lasting_decisions.customer_id,
        lasting_decisions.action_id,
        lasting_decisions.as_of_date as opened_on,
        cast({{ add_days('lasting_decisions.as_of_date', 'lasting_decisions.horizon_days') }} as date) as ends_on,
        lasting_decisions.arm,
        {{ is_left_alone_by_draw('lasting_decisions') }} as is_left_alone,
        cast(
            row_number() over (
                partition by lasting_decisions.customer_id
                order by lasting_decisions.as_of_date
            ) as integer
        ) as episode_number
    from lasting_decisions
    where {{ opens_episode('lasting_decisions.arm') }}

)

select * from episodes
