-- Actions that were decided, may not be executed any more, and would not have lapsed yet: their offer or channel is
-- gone, or the service had decided on the customer before, which the run did not know.
with history as (

    select * from {{ ref('retention_actions_history') }}

),

offers as (

    select * from {{ ref('int_offers') }}

),

channels as (

    select * from {{ ref('int_channels') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

served as (

    select
        customer_id,
        as_of_date
    from {{ ref('int_served_actions') }}
    union all
    select
        customer_id,
        as_of_date
    from {{ ref('int_served_meanwhile') }}

),

-- Asked of the table, not of the step above: a step that is read twice is read whole.
within_served as (

    select distinct picks.action_id
    from {{ ref('retention_actions_history') }} as picks
    cross join parameters
    inner join served
        on picks.customer_id = served.customer_id
            and {{ is_within_episode('picks.as_of_date', 'served.as_of_date') }}

),

-- Asked of the table, as above.
latest as (

    select max(as_of_date) as as_of_date
    from {{ ref('retention_actions_history') }}

),

judged as (

    select
        history.*,
        case
            when within_served.action_id is not null then 'open_episode'
            else {{ withdrawal_reason('offers', 'channels') }}
        end as withdrawal_reason
    from history
    inner join latest on history.valid_to > latest.as_of_date
    left join offers on history.action = offers.offer
    left join channels on history.channel = channels.channel
    left join within_served on history.action_id = within_served.action_id
    where history.action <> 'no_action'

),

withdrawn as (

    select
        cast(action_id as varchar) as action_id,
        cast(customer_id as varchar) as customer_id,
        cast(as_of_date as date) as as_of_date,
        cast(action as varchar) as action,
        cast(channel as varchar) as channel,
        cast(valid_to as date) as valid_to,
        cast(withdrawal_reason as varchar) as withdrawal_reason
    from judged
    where withdrawal_reason is not null

)

select * from withdrawn
