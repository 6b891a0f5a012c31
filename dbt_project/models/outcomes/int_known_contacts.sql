-- Executed contacts known at the date of the run, each with the decision that it executes, if any: an action of the
-- same customer. A contact that names the decision of a held-out customer executes no decision.
with contacts as (

    select * from {{ valid_rows('retention_contacts') }}

),

run as (

    select * from {{ ref('int_run') }}

),

lasting_decisions as (

    select * from {{ ref('int_lasting_decisions') }}

),

known_contacts as (

    select
        contacts.*,
        lasting_decisions.action_id as executed_action_id,
        lasting_decisions.as_of_date as decided_for,
        {{ opens_episode('lasting_decisions.arm') }} as decision_opens_episode,
        lasting_decisions.valid_to
    from contacts
    inner join run on contacts.contacted_on <= run.as_of_date
    left join lasting_decisions
        on contacts.action_id = lasting_decisions.action_id
            and contacts.customer_id = lasting_decisions.customer_id
            and lasting_decisions.action <> 'no_action'
    where contacts.offer <> 'no_action'

)

select * from known_contacts
