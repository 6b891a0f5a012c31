-- Matured decisions with a random draw: chosen customers, contacted or withheld, and customers of a trial. A row counts
-- by its assignment, executed or not, because executed contacts are no random sample of the assigned ones: a customer
-- who leaves before the contact is never contacted. executed_share is the share of assigned customers who were
-- contacted.
with outcomes as (

    select * from {{ ref('action_outcomes') }}

),

assigned as (

    select
        outcomes.*,
        case when arm = 'trial' then 'trial' else 'policy' end as stratum,
        coalesce(
            contact_status in ('executed', 'executed_late')
            and contacted_offer = action and contacted_on <= horizon_ends_on, false
        ) as was_made
    from outcomes
    where arm in ('policy', 'pick_holdout', 'trial')
        and propensity < 1
        and propensity_no_action > 0
        and propensity_no_action < 1

),

shares as (

    select
        action as offer,
        outcome_month,
        count(case when was_made then 1 end) / cast(count(*) as double) as executed_share
    from assigned
    where action <> 'no_action'
    group by action, outcome_month

),

evidence as (

    select
        cast(assigned.stratum as varchar) as stratum,
        cast(assigned.customer_id as varchar) as customer_id,
        cast(assigned.as_of_date as date) as as_of_date,
        cast(nullif(assigned.action, 'no_action') as varchar) as offer,
        cast(case when assigned.arm = 'pick_holdout' then assigned.planned_action end as varchar) as compared_offer,
        cast(assigned.churn_probability as double) as churn_probability,
        cast(assigned.has_churned as boolean) as has_churned,
        cast(round(assigned.outcome_weight * assigned.propensity, 9) as double) as evidence_weight,
        cast(coalesce(shares.executed_share, 0) as double) as executed_share,
        cast(assigned.was_made as boolean) as was_made,
        cast(assigned.was_made and assigned.has_accepted as boolean) as has_accepted,
        {% for signal in reason_signals() -%}
            cast(assigned.signal_{{ signal }} as double) as signal_{{ signal }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from assigned
    left join shares on assigned.action = shares.offer and assigned.outcome_month = shares.outcome_month

)

select * from evidence
