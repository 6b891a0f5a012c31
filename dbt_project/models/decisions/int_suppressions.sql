-- Who may not be contacted on the run's date, and why; and which offers are locked for a customer who accepted them
-- lately. Rows only for these customers. Consent and eligibility are judged in int_decision_candidates.
with run as (

    select * from {{ ref('int_run') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

contacts as (

    select * from {{ contacts_that_exclude() }} as reported

),

lasting_decisions as (

    select * from {{ ref('int_lasting_decisions') }}

),

previous_episodes as (

    select * from {{ ref('int_previous_episodes') }}

),

offers as (

    select * from {{ ref('int_offers') }}

),

channels as (

    select * from {{ ref('int_channels') }}

),

consents as (

    select * from {{ ref('int_consents') }}

),

known_contacts as (

    select
        contacts.*,
        run.as_of_date,
        parameters.horizon_days,
        parameters.cool_down_days
    from contacts
    inner join run on contacts.contacted_on <= run.as_of_date or contacts.contacted_on > run.data_ends_on
    cross join parameters

),

-- 1: the customer is held out; 2: the last contact is recent; 3: an action is still open, which either would withdraw;
-- 4: the episode is not over, although its action lapsed or was withdrawn. The first one counts.
suppressed as (

    select
        lasting_decisions.customer_id,
        3 as precedence,
        lasting_decisions.action_id as open_action_id
    from lasting_decisions
    inner join run
        on lasting_decisions.valid_from <= {{ add_days('run.as_of_date', 1) }}
            and lasting_decisions.valid_to > run.as_of_date
    left join known_contacts on lasting_decisions.action_id = known_contacts.action_id
    left join offers on lasting_decisions.action = offers.offer
    left join channels on coalesce(lasting_decisions.channel, offers.channel) = channels.channel
    inner join consents
        on lasting_decisions.customer_id = consents.customer_id
            and coalesce(lasting_decisions.channel, offers.channel) = consents.channel
            and consents.is_granted
            and run.as_of_date >= consents.valid_from
            and (consents.valid_until is null or run.as_of_date < consents.valid_until)
    where {{ opens_episode('lasting_decisions.arm') }} -- else the service had decided before
        and lasting_decisions.action <> 'no_action'
        and known_contacts.action_id is null
        and {{ withdrawal_reason('offers', 'channels') }} is null
    union all
    select
        previous_episodes.customer_id,
        case when previous_episodes.is_left_alone then 1 else 4 end as precedence,
        null as open_action_id
    from previous_episodes
    inner join run on previous_episodes.ends_on > run.as_of_date
    union all
    select
        customer_id,
        1 as precedence,
        null as open_action_id
    from known_contacts
    where offer = 'no_action' and is_randomized and contacted_on > {{ add_days('as_of_date', '-horizon_days') }}
    union all
    select
        customer_id,
        2 as precedence,
        null as open_action_id
    from known_contacts
    where offer <> 'no_action' and contacted_on > {{ add_days('as_of_date', '-cool_down_days') }}

),

locked_offers as (

    select distinct
        known_contacts.customer_id,
        cast({{ day_bit('offers.offer_position') }} as bigint) as offer_bit
    from known_contacts
    inner join offers on known_contacts.offer = offers.offer
    where known_contacts.accepted_on <= known_contacts.as_of_date
        and known_contacts.accepted_on > {{ add_days('known_contacts.as_of_date', '-offers.lock_out_days') }}

),

combined as (

    select
        customer_id,
        precedence,
        open_action_id,
        0 as offer_bit
    from suppressed
    union all
    select
        customer_id,
        null as precedence,
        null as open_action_id,
        offer_bit
    from locked_offers

),

suppressions as (

    select
        cast(customer_id as string) as customer_id,
        cast(
            case min(precedence)
                when 1 then 'held_out'
                when 2 then 'cool_down'
                when 3 then 'open_action'
                when 4 then 'open_episode'
            end as string
        ) as suppression_reason,
        cast(case when min(precedence) = 3 then max(open_action_id) end as string) as open_action_id,
        cast(sum(offer_bit) as bigint) as locked_offers
    from combined
    group by customer_id

)

select * from suppressions
