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

settings as (

    select * from {{ ref('int_earlier_settings') }}

),

served_actions as (

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

served as (

    select
        served_actions.*,
        coalesce(settings.horizon_days, parameters.horizon_days) as horizon_days
    from served_actions
    cross join parameters
    left join settings on served_actions.as_of_date = settings.as_of_date

),

-- Asked of the table, not of the step above: a step that is read twice is read whole.
latest as (

    select max(as_of_date) as as_of_date
    from {{ ref('retention_actions_history') }}

),

standing as (

    select
        history.action_id,
        history.customer_id,
        history.as_of_date,
        history.action,
        history.channel,
        history.valid_to
    from history
    inner join latest on history.valid_to > latest.as_of_date
    where history.action <> 'no_action'

),

within_served as (

    {{ picks_within_served('standing') }}

),

judged as (

    select
        standing.*,
        case
            when within_served.action_id is not null then 'open_episode'
            else {{ withdrawal_reason('offers', 'channels') }}
        end as withdrawal_reason
    from standing
    left join offers on standing.action = offers.offer
    left join channels on standing.channel = channels.channel
    left join within_served on standing.action_id = within_served.action_id

),

withdrawn as (

    select
        cast(action_id as string) as action_id,
        cast(customer_id as string) as customer_id,
        cast(as_of_date as date) as as_of_date,
        cast(action as string) as action,
        cast(channel as string) as channel,
        cast(valid_to as date) as valid_to,
        cast(withdrawal_reason as string) as withdrawal_reason
    from judged
    where withdrawal_reason is not null

)

select * from withdrawn
