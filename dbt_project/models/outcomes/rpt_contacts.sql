-- All executed contacts, and all actions that were not executed, by month. An action that only contacts in quarantine
-- name is executed too.
with known_contacts as (

    select * from {{ ref('int_known_contacts') }}

),

lasting_decisions as (

    select * from {{ ref('int_lasting_decisions') }}

),

run as (

    select * from {{ ref('int_run') }}

),

executions as (

    select * from {{ ref('int_set_aside_executions') }}

),

first_run as (

    select min(as_of_date) as first_as_of_date
    from lasting_decisions

),

contacts as (

    select
        cast(date_trunc('month', known_contacts.contacted_on) as date) as month,
        case
            when first_run.first_as_of_date is null or known_contacts.contacted_on <= first_run.first_as_of_date
                then 'before_first_run'
            when known_contacts.executed_action_id is null then 'executed_unplanned'
            when known_contacts.contacted_on > known_contacts.valid_to then 'executed_late'
            else 'executed'
        end as contact_status,
        cast(known_contacts.cost * 100 as bigint) as cost_cents
    from known_contacts
    cross join first_run

),

-- An action that may still be executed is open, not missed.
without_valid_contact as (

    select
        cast(date_trunc('month', lasting_decisions.as_of_date) as date) as month,
        case
            when executions.action_id is null then 'not_executed'
            when executions.executed_on > lasting_decisions.valid_to then 'executed_late'
            else 'executed'
        end as contact_status,
        0 as cost_cents
    from lasting_decisions
    cross join run
    left join executions on lasting_decisions.action_id = executions.action_id
    left join known_contacts on lasting_decisions.action_id = known_contacts.executed_action_id
    where lasting_decisions.action <> 'no_action'
        and known_contacts.executed_action_id is null
        and (executions.action_id is not null or lasting_decisions.valid_to < run.as_of_date)

),

counted as (

    select * from contacts
    union all
    select * from without_valid_contact

),

report as (

    select
        cast(month as date) as month,
        cast(contact_status as string) as contact_status,
        cast(count(*) as bigint) as contacts,
        cast(sum(cost_cents) / 100 as double) as realised_cost
    from counted
    group by month, contact_status

)

select * from report
