-- retention_actions_deliverable holds no held-out, executed, expired or non-consenting row, and none of an offer or
-- channel that has no capacity.
with deliverable as (

    select * from {{ ref('retention_actions_deliverable') }}

),

-- History may hold years: only the nights of deliverable rows are read.
history as (

    select * from {{ ref('retention_actions_history') }}
    where as_of_date in (select as_of_date from {{ ref('retention_actions_deliverable') }})

),

contacts as (

    select * from {{ contacts_that_exclude() }} as reported

),

consents as (

    select * from {{ ref('int_consents') }}

),

open_offers as (

    select
        offers.offer,
        channels.channel
    from {{ ref('offers') }} as offers
    cross join {{ ref('int_channels') }} as channels
    where cast(offers.monthly_capacity as double) > 0 and channels.monthly_capacity > 0

),

-- Asked of the table, not of the step above, which holds some nights only.
latest as (

    select max(as_of_date) as as_of_date
    from {{ ref('retention_actions_history') }}

),

checked as (

    select
        deliverable.action_id,
        history.arm in ('pick_holdout', 'universal_holdout', 'suppressed', 'not_chosen') as is_held_out,
        contacts.action_id is not null as is_executed,
        deliverable.valid_to <= latest.as_of_date as is_expired,
        not coalesce(consents.is_granted, false) as is_without_consent,
        open_offers.offer is null as is_closed
    from deliverable
    cross join latest
    inner join history
        on deliverable.as_of_date = history.as_of_date and deliverable.customer_id = history.customer_id
    left join contacts on deliverable.action_id = contacts.action_id
    left join consents
        on deliverable.customer_id = consents.customer_id
            and deliverable.channel = consents.channel
            and consents.valid_until is null
    left join open_offers on deliverable.action = open_offers.offer and deliverable.channel = open_offers.channel

),

forbidden as (

    select *
    from checked
    where is_held_out or is_executed or is_expired or is_without_consent or is_closed

)

select * from forbidden
