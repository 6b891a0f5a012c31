{{ config(materialized='table') }}

-- All randomised assignments, of own decisions and of past trials; a row that carries no information says why.
with own_evidence as (

    select * from {{ ref('int_own_evidence') }}

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

trial_evidence as (

    select
        cast('past_trial' as varchar) as stratum,
        assignments.customer_id,
        assignments.as_of_date,
        cast(nullif(assignments.offer, 'no_action') as varchar) as offer,
        cast(null as varchar) as compared_offer,
        cast(probabilities.churn_probability as double) as churn_probability,
        assignments.has_churned,
        cast(1 as double) as evidence_weight,
        cast(case when assignments.offer = 'no_action' then 0 else 1 end as double) as executed_share,
        cast(assignments.offer <> 'no_action' as boolean) as was_made,
        assignments.has_accepted,
        {% for signal in reason_signals() -%}
            signals.signal_{{ signal }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from assignments
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

judged as (

    select
        evidence.*,
        cast(
            case
                when coalesce(evidence.offer, evidence.compared_offer) is not null and offers.offer is null
                    then 'unknown_offer'
                when evidence.evidence_weight = 0 then 'acted_again'
                when evidence.churn_probability is null then 'not_scored'
                when evidence.signal_{{ reason_signals()[0] }} is null then 'no_signals'
            end as varchar
        ) as unused_reason
    from evidence
    left join offers on coalesce(evidence.offer, evidence.compared_offer) = offers.offer

)

select * from judged
