-- Episodes that chance decided in part: of the chosen, which customers were withheld; in a trial, which offer or none.
-- What was assigned counts, executed or not: those reached are no random sample of the assigned, because a customer who
-- leaves before the contact is never contacted.
with outcomes as (

    select * from {{ ref('action_outcomes') }}

),

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

evidence as (

    select
        cast(assigned.stratum as string) as stratum,
        cast(assigned.customer_id as string) as customer_id,
        cast(assigned.as_of_date as date) as as_of_date,
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

)

select * from evidence
