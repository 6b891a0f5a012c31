-- The actions that may be executed on the day after the latest as_of_date: open actions of any run.
with history as (

    select * from {{ ref('retention_actions_history') }}

),

contacts as (

    select * from {{ contacts_that_exclude() }} as reported

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

delivery_day as (

    select {{ add_days('max(as_of_date)', 1) }} as delivered_on
    from history

),

executed as (

    select distinct action_id
    from contacts
    where action_id is not null

),

-- Customers contacted since the decision, or since then a control of a trial.
not_to_be_touched as (

    select distinct contacts.customer_id
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

),

-- A customer who has left since has no decision at the latest date.
still_addressable as (

    select history.customer_id
    from history
    inner join delivery_day on delivery_day.delivered_on = {{ add_days('history.as_of_date', 1) }}
    where history.arm <> 'universal_holdout'

),

consenting as (

    select
        history.*,
        delivery_day.delivered_on
    from history
    cross join delivery_day
    inner join consents
        on history.customer_id = consents.customer_id
            and history.channel = consents.channel
            and consents.is_granted
            and consents.valid_until is null -- the newest answer, whatever the date of the decision
    where history.action <> 'no_action'
        and delivery_day.delivered_on between history.valid_from and history.valid_to

),

deliverable as (

    select
        cast(consenting.action_id as varchar) as action_id,
        cast(consenting.customer_id as varchar) as customer_id,
        cast(consenting.as_of_date as date) as as_of_date,
        cast(consenting.action as varchar) as action,
        cast(consenting.action_label as varchar) as action_label,
        cast(consenting.channel as varchar) as channel,
        cast(consenting.priority as integer) as priority,
        cast(consenting.expected_cost as double) as expected_cost,
        cast(consenting.incremental_expected_value as double) as incremental_expected_value,
        cast(consenting.currency as varchar) as currency,
        cast(consenting.rationale as varchar) as rationale,
        cast(consenting.valid_from as date) as valid_from,
        cast(consenting.valid_to as date) as valid_to
    from consenting
    inner join still_addressable on consenting.customer_id = still_addressable.customer_id
    left join executed on consenting.action_id = executed.action_id
    left join withdrawn on consenting.action_id = withdrawn.action_id
    left join not_to_be_touched on consenting.customer_id = not_to_be_touched.customer_id
    where executed.action_id is null and withdrawn.action_id is null and not_to_be_touched.customer_id is null

)

select * from deliverable
