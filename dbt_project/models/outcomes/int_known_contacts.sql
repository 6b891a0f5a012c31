-- Executed contacts known at the date of the run, each with the decision that it executes, if any: an action of the
-- same customer. A contact that names the decision of a held-out customer executes no decision.
with contacts as (

    select * from {{ valid_rows('retention_contacts') }}

),

run as (

    select * from {{ ref('int_run') }}

),

previous_actions as (

    select * from {{ ref('int_previous_actions') }}

),

known_contacts as (

    select
        contacts.*,
        previous_actions.action_id as executed_action_id,
        previous_actions.as_of_date as decided_for,
        previous_actions.valid_to
    from contacts
    inner join run on contacts.contacted_on <= run.as_of_date
    left join previous_actions
        on contacts.action_id = previous_actions.action_id
            and contacts.customer_id = previous_actions.customer_id
            and previous_actions.action <> 'no_action'
    where contacts.offer <> 'no_action'

)

select * from known_contacts
