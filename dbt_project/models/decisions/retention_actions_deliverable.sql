-- The actions that may be executed on the day after the latest as_of_date: open actions of any run.
with states as (

    select * from {{ ref('int_action_states') }}

),

deliverable as (

    select
        action_id,
        customer_id,
        as_of_date,
        action,
        action_label,
        channel,
        priority,
        expected_cost,
        incremental_expected_value,
        currency,
        rationale,
        valid_from,
        valid_to
    from states
    where status = 'open'

)

select * from deliverable
