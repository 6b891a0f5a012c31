-- Contacts of each decision: those that execute it (1), contacts without a decision within its horizon (2), contacts
-- that execute another decision of the same month, which opens no episode and is represented by this one (3), and other
-- contacts that execute another decision within the horizon (4).
with decisions as (

    select * from {{ ref('int_outcome_decisions') }}

),

known_contacts as (

    select * from {{ ref('int_known_contacts') }}

),

matched as (

    select
        decisions.action_id as decision_id,
        decisions.horizon_ends_on,
        1 as match_rank,
        known_contacts.*
    from decisions
    inner join known_contacts on decisions.action_id = known_contacts.executed_action_id
    union all
    select
        decisions.action_id as decision_id,
        decisions.horizon_ends_on,
        case
            when known_contacts.executed_action_id is null then 2
            when
                not known_contacts.decision_opens_episode
                and date_trunc('month', decisions.as_of_date) = date_trunc('month', known_contacts.decided_for)
                then 3
            else 4
        end as match_rank,
        known_contacts.*
    from decisions
    inner join known_contacts
        on decisions.customer_id = known_contacts.customer_id
            and decisions.as_of_date < known_contacts.contacted_on
            and (
                decisions.horizon_ends_on >= known_contacts.contacted_on
                or (
                    not known_contacts.decision_opens_episode
                    and date_trunc('month', decisions.as_of_date) = date_trunc('month', known_contacts.decided_for)
                )
            )
    where known_contacts.executed_action_id is null or known_contacts.executed_action_id <> decisions.action_id

),

-- An offer that the first contact makes may be accepted at a further one.
ranked as (

    select
        matched.*,
        row_number() over (partition by decision_id order by match_rank, contacted_on, contact_id) as contact_rank,
        min(accepted_on) over (partition by decision_id, match_rank, offer) as offer_accepted_on
    from matched

),

totals as (

    select
        decision_id,
        max(case when contacted_on <= horizon_ends_on then 1 else 0 end) as contacts_within_horizon,
        sum(case when match_rank < 4 then cast(cost * 100 as bigint) else 0 end) as cost_cents
    from matched
    group by decision_id

),

-- Contacts that execute another decision count as contacts. Their answer belongs to that decision, and so does their
-- cost where it opens an episode; else the decision that represents its month has the cost, so that it is counted once.
contacts as (

    select
        cast(ranked.decision_id as string) as action_id,
        cast(totals.contacts_within_horizon = 1 as boolean) as is_contacted,
        cast(
            case
                when ranked.match_rank = 2 then 'executed_unplanned'
                when ranked.match_rank = 1 and ranked.contacted_on <= ranked.valid_to then 'executed'
                when ranked.match_rank = 1 then 'executed_late'
            end as string
        ) as execution,
        case when ranked.match_rank < 3 then ranked.contact_id end as contact_id,
        case when ranked.match_rank < 3 then ranked.offer end as contacted_offer,
        case when ranked.match_rank < 3 then ranked.contacted_on end as contacted_on,
        cast(
            ranked.match_rank < 3 and coalesce(ranked.offer_accepted_on <= ranked.horizon_ends_on, false) as boolean
        ) as has_accepted,
        cast(totals.cost_cents as bigint) as cost_cents
    from ranked
    inner join totals on ranked.decision_id = totals.decision_id
    where ranked.contact_rank = 1

)

select * from contacts
