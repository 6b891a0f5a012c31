-- What has become of each action on the day after the latest as_of_date: the one definition of every status. What ended
-- more than sync_days ago is left out.
with history as (

    select * from {{ ref('retention_actions_history') }}

),

contacts as (

    select * from {{ contacts_that_exclude() }} as reported

),

executed as (

    select * from {{ ref('int_executed_actions') }}

),

consents as (

    select * from {{ ref('int_consents') }}

),

withdrawn as (

    select * from {{ ref('int_withdrawn_actions') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

-- Asked of the table, not of the step above: a step that is read twice is read whole.
latest as (

    select max(as_of_date) as latest_date
    from {{ ref('retention_actions_history') }}

),

delivery_day as (

    select
        latest.latest_date,
        {{ add_days('latest.latest_date', 1) }} as delivered_on,
        {{ add_days('latest.latest_date', '-parameters.sync_days') }} as told_after
    from latest
    cross join parameters

),

actions as (

    select
        history.*,
        delivery_day.delivered_on
    from history
    inner join delivery_day on history.valid_to > delivery_day.told_after
    where history.action <> 'no_action'

),

-- Customers contacted since the decision, or since then a control of a trial.
not_to_be_touched as (

    select
        contacts.customer_id,
        max(case when contacts.offer <> 'no_action' then 1 else 0 end) as is_contacted
    from contacts
    cross join delivery_day
    cross join parameters
    where (
        contacts.offer <> 'no_action'
        and contacts.contacted_on >= {{ add_days('delivery_day.delivered_on', '-parameters.cool_down_days') }}
    )
    or (
        contacts.offer = 'no_action'
        and contacts.is_randomized
        and contacts.contacted_on >= {{ add_days('delivery_day.delivered_on', '-parameters.horizon_days') }}
    )
    group by contacts.customer_id

),

-- A customer who has left since has no decision at the latest date.
at_risk as (

    select
        decisions.customer_id,
        decisions.arm
    from {{ ref('retention_actions_history') }} as decisions
    inner join delivery_day on decisions.as_of_date = delivery_day.latest_date

),

judged as (

    select
        actions.*,
        executed.action_id is not null as is_executed,
        actions.delivered_on > actions.valid_to as is_expired,
        coalesce(executed.executed_on > actions.valid_to, false) as is_late,
        case
            when withdrawn.action_id is not null then withdrawn.withdrawal_reason
            when not coalesce(consents.is_granted, false) then 'no_consent'
            when at_risk.customer_id is null then 'not_at_risk'
            when at_risk.arm = 'universal_holdout' then 'held_out'
            when not_to_be_touched.is_contacted = 1 then 'cool_down'
            when not_to_be_touched.customer_id is not null then 'held_out'
        end as withdrawal_reason
    from actions
    left join executed on actions.action_id = executed.action_id
    left join withdrawn on actions.action_id = withdrawn.action_id
    left join consents
        on actions.customer_id = consents.customer_id
            and actions.channel = consents.channel
            and consents.valid_until is null -- the newest answer, whatever the date of the decision
    left join at_risk on actions.customer_id = at_risk.customer_id
    left join not_to_be_touched on actions.customer_id = not_to_be_touched.customer_id

),

states as (

    select
        cast(action_id as string) as action_id,
        cast({{ text_hash('action_id') }} as string) as action_id_hash,
        cast(customer_id as string) as customer_id,
        cast(as_of_date as date) as as_of_date,
        cast(
            case
                when is_executed then 'executed'
                when is_expired then 'expired'
                when withdrawal_reason is not null then 'withdrawn'
                else 'open'
            end as string
        ) as status,
        cast(
            case
                when is_executed then case when is_late then 'late' end
                when not is_expired then withdrawal_reason
            end as string
        ) as status_reason,
        cast(action as string) as action,
        cast(action_label as string) as action_label,
        cast(channel as string) as channel,
        cast(priority as integer) as priority,
        cast(expected_cost as double) as expected_cost,
        cast(incremental_expected_value as double) as incremental_expected_value,
        cast(currency as string) as currency,
        cast(rationale as string) as rationale,
        cast(valid_from as date) as valid_from,
        cast(valid_to as date) as valid_to
    from judged

)

select * from states
