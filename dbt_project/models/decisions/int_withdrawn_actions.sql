-- Actions that were decided, may not be executed any more, and would not have lapsed yet: their offer or channel is
-- gone.
with history as (

    select * from {{ ref('retention_actions_history') }}

),

offers as (

    select * from {{ ref('int_offers') }}

),

channels as (

    select * from {{ ref('int_channels') }}

),

-- Asked of the table, not of the step above: a step that is read twice is read whole.
latest as (

    select max(as_of_date) as as_of_date
    from {{ ref('retention_actions_history') }}

),

judged as (

    select
        history.*,
        {{ withdrawal_reason('offers', 'channels') }} as withdrawal_reason
    from history
    inner join latest on history.valid_to > latest.as_of_date
    left join offers on history.action = offers.offer
    left join channels on history.channel = channels.channel
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
