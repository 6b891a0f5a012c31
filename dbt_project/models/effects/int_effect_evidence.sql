{{ config(materialized='table') }}

-- Everything that chance assigned, own decisions and past trials; a row that cannot be used says why. What was assigned
-- counts, executed or not: those reached are no random sample of the assigned, because a customer who leaves before the
-- contact is never contacted.
with outcomes as (

    select * from {{ ref('action_outcomes') }}

),

assignments as (

    select * from {{ ref('int_trial_assignments') }}

),

probabilities as (

    select * from {{ ref('int_trial_probabilities') }}

),

signals as (

    select * from {{ ref('int_reason_signals') }}

),

offers as (

    select * from {{ ref('int_offers') }}

),

contacts as (

    select * from {{ valid_rows('retention_contacts') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

-- Episodes that chance decided in part: of the chosen, which customers were withheld; in a trial, which offer or none.
assigned as (

    select
        outcomes.*,
        case when arm = 'trial' then 'trial' else 'policy' end as stratum
    from outcomes
    where {{ opens_episode('arm') }}
        and propensity < 1
        and propensity_no_action > 0
        and propensity_no_action < 1

),

own_evidence as (

    select
        cast(assigned.stratum as string) as stratum,
        cast(assigned.customer_id as string) as customer_id,
        cast(assigned.as_of_date as date) as as_of_date,
        cast(assigned.horizon_ends_on as date) as horizon_ends_on,
        cast(
            case when assigned.arm <> 'pick_holdout' then nullif(assigned.planned_action, 'no_action') end as string
        ) as offer,
        cast(case when assigned.arm <> 'trial' then assigned.planned_action end as string) as compared_offer,
        cast(assigned.churn_probability as double) as churn_probability,
        cast(assigned.has_churned as boolean) as has_churned,
        {% for signal in reason_signals() -%}
            cast(assigned.signal_{{ signal }} as double) as signal_{{ signal }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from assigned

),

trial_evidence as (

    select
        cast('past_trial' as string) as stratum,
        assignments.customer_id,
        assignments.as_of_date,
        cast({{ add_days('assignments.as_of_date', 'parameters.horizon_days') }} as date) as horizon_ends_on,
        cast(nullif(assignments.offer, 'no_action') as string) as offer,
        cast(null as string) as compared_offer,
        cast(probabilities.churn_probability as double) as churn_probability,
        assignments.has_churned,
        {% for signal in reason_signals() -%}
            signals.signal_{{ signal }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from assignments
    cross join parameters
    left join probabilities
        on assignments.customer_id = probabilities.customer_id and assignments.scored_on = probabilities.as_of_date
    left join signals
        on assignments.customer_id = signals.customer_id and assignments.scored_on = signals.as_of_date

),

evidence as (

    select * from own_evidence
    union all
    select * from trial_evidence

),

-- A past trial assigns and contacts on the same day; a decision is made at the end of its day. An offer that the first
-- contact makes may be accepted at a further one.
reached as (

    select
        evidence.stratum,
        evidence.customer_id,
        evidence.as_of_date,
        contacts.offer as reached_offer,
        coalesce(
            min(contacts.accepted_on) over (
                partition by evidence.stratum, evidence.customer_id, evidence.as_of_date, contacts.offer
            ) <= evidence.horizon_ends_on, false
        ) as has_accepted,
        row_number() over (
            partition by evidence.stratum, evidence.customer_id, evidence.as_of_date
            order by contacts.contacted_on, contacts.contact_id
        ) as contact_rank
    from evidence
    inner join contacts
        on evidence.customer_id = contacts.customer_id
            and contacts.offer <> 'no_action'
            and evidence.as_of_date <= contacts.contacted_on
            and evidence.horizon_ends_on >= contacts.contacted_on
            and (evidence.stratum = 'past_trial' or evidence.as_of_date < contacts.contacted_on)

),

judged as (

    select
        {% for column in [
            'stratum', 'customer_id', 'as_of_date', 'offer', 'compared_offer', 'churn_probability', 'has_churned',
        ] -%}
            evidence.{{ column }},
        {% endfor -%}
        cast(reached.reached_offer as string) as reached_offer,
        cast(coalesce(reached.has_accepted, false) as boolean) as has_accepted,
        {% for signal in reason_signals() -%}
            evidence.signal_{{ signal }},
        {% endfor -%}
        cast(
            case
                when coalesce(evidence.offer, evidence.compared_offer) is not null and offers.offer is null
                    then 'unknown_offer'
                when evidence.churn_probability is null then 'not_scored'
                when
                    {% for signal in reason_signals() -%}
                        evidence.signal_{{ signal }} is null
                        {%- if not loop.last %} or{% endif %}
                    {% endfor %}
                    then 'no_signals'
            end as string
        ) as unused_reason
    from evidence
    left join offers on coalesce(evidence.offer, evidence.compared_offer) = offers.offer
    left join reached
        on evidence.stratum = reached.stratum
            and evidence.customer_id = reached.customer_id
            and evidence.as_of_date = reached.as_of_date
            and reached.contact_rank = 1

)

select * from judged
