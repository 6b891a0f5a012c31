-- Why a customer may not be contacted on the run's date, and which offers are locked for them.
with run as (

    select * from {{ ref('int_run') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

contacts as (

    select * from {{ ref('int_valid_retention_contacts') }}

),

previous_actions as (

    select * from {{ ref('int_previous_actions') }}

),

offers as (

    select * from {{ ref('int_offers') }}

),

known_contacts as (

    select
        contacts.*,
        run.as_of_date
    from contacts
    inner join run on contacts.contacted_on <= run.as_of_date

),

executed as (

    select distinct action_id
    from known_contacts
    where action_id is not null

),

open_actions as (

    select distinct previous_actions.customer_id
    from previous_actions
    inner join run
        on previous_actions.valid_from <= {{ add_days('run.as_of_date', 1) }}
            and previous_actions.valid_to > run.as_of_date
    left join executed on previous_actions.action_id = executed.action_id
    where previous_actions.action <> 'no_action' and executed.action_id is null

),

held_out as (

    select distinct previous_actions.customer_id
    from previous_actions
    cross join run
    cross join parameters
    where previous_actions.arm in ('pick_holdout', 'trial')
        and previous_actions.action = 'no_action'
        and previous_actions.as_of_date > {{ add_days('run.as_of_date', '-parameters.horizon_days') }}
    union
    select distinct known_contacts.customer_id
    from known_contacts
    cross join parameters
    where known_contacts.offer = 'no_action'
        and known_contacts.is_randomized
        and known_contacts.contacted_on > {{ add_days('known_contacts.as_of_date', '-parameters.horizon_days') }}

),

cooling_down as (

    select distinct known_contacts.customer_id
    from known_contacts
    cross join parameters
    where known_contacts.offer <> 'no_action'
        and known_contacts.contacted_on > {{ add_days('known_contacts.as_of_date', '-parameters.cool_down_days') }}

),

locked_out as (

    select
        locked.customer_id,
        sum(locked.offer_bit) as locked_offers
    from (
        select distinct
            known_contacts.customer_id,
            cast({{ day_bit('offers.offer_position') }} as bigint) as offer_bit
        from known_contacts
        inner join offers on known_contacts.offer = offers.offer
        where known_contacts.accepted_on <= known_contacts.as_of_date
            and known_contacts.accepted_on > {{ add_days('known_contacts.as_of_date', '-offers.lock_out_days') }}
    ) as locked
    group by locked.customer_id

),

reasons as (

    select
        customer_id,
        'open_action' as suppression_reason,
        1 as precedence
    from open_actions
    union all
    select
        customer_id,
        'held_out' as suppression_reason,
        2 as precedence
    from held_out
    union all
    select
        customer_id,
        'cool_down' as suppression_reason,
        3 as precedence
    from cooling_down
    union all
    select
        customer_id,
        null as suppression_reason,
        4 as precedence
    from locked_out

),

first_reasons as (

    select
        customer_id,
        suppression_reason,
        row_number() over (partition by customer_id order by precedence) as reason_rank
    from reasons

),

suppressions as (

    select
        cast(first_reasons.customer_id as varchar) as customer_id,
        cast(first_reasons.suppression_reason as varchar) as suppression_reason,
        cast(coalesce(locked_out.locked_offers, 0) as bigint) as locked_offers
    from first_reasons
    left join locked_out on first_reasons.customer_id = locked_out.customer_id
    where first_reasons.reason_rank = 1

)

select * from suppressions
