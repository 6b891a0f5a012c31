{{ config(materialized='table') }}

-- Features of a customer-date, whether the customer left, and whether a contact fell into the horizon.
with features as (

    select * from {{ ref('customer_features') }}

),

labels as (

    select * from {{ ref('churn_labels') }}

),

contacts as (

    select * from {{ valid_rows('retention_contacts') }}

),

signals as (

    select * from {{ ref('int_reason_signals') }}

),

eligibility as (

    select * from {{ ref('int_offer_eligibility') }}

),

earlier_actions as (

    select * from {{ ref('int_previous_actions') }}

),

-- A planned action that was not executed is not an untreated observation: a customer who leaves before the contact is
-- never contacted, so that such rows hold too many churners. Holdouts represent all chosen customers, at
-- 1 / propensity. Without holdouts (propensity_no_action is 0) such rows are kept, for no other row represents these
-- customers.
contacted as (

    select
        labels.customer_id,
        labels.as_of_date
    from labels
    inner join contacts
        on labels.customer_id = contacts.customer_id
            and labels.as_of_date < contacts.contacted_on
            and labels.horizon_ends_on >= contacts.contacted_on
    where contacts.offer <> 'no_action'
    union
    select
        labels.customer_id,
        labels.as_of_date
    from labels
    inner join earlier_actions
        on labels.customer_id = earlier_actions.customer_id
            and labels.as_of_date <= earlier_actions.as_of_date
            and labels.horizon_ends_on > earlier_actions.as_of_date
    where earlier_actions.action <> 'no_action' and earlier_actions.propensity_no_action > 0

),

-- Customers left alone at random: in past trials, and in the holdouts of earlier runs.
left_alone_by_chance as (

    select
        labels.customer_id,
        labels.as_of_date,
        contacts.propensity
    from labels
    inner join contacts
        on labels.customer_id = contacts.customer_id
            and labels.as_of_date < contacts.contacted_on
            and labels.horizon_ends_on >= contacts.contacted_on
    where contacts.offer = 'no_action' and contacts.is_randomized and contacts.propensity > 0
    union all
    select
        labels.customer_id,
        labels.as_of_date,
        earlier_actions.propensity_no_action as propensity
    from labels
    inner join earlier_actions
        on labels.customer_id = earlier_actions.customer_id
            and labels.as_of_date <= earlier_actions.as_of_date
            and labels.horizon_ends_on > earlier_actions.as_of_date
    where earlier_actions.action = 'no_action' and earlier_actions.propensity_no_action > 0

),

weights as (

    select
        customer_id,
        as_of_date,
        cast(round(exp(-sum(ln(propensity))), 9) as double) as example_weight
    from left_alone_by_chance
    group by customer_id, as_of_date

),

examples as (

    select
        labels.has_churned,
        cast(contacted.customer_id is not null as boolean) as was_contacted,
        coalesce(weights.example_weight, 1.0) as example_weight,
        eligibility.offers_allowed,
        {% for signal in reason_signals() -%}
            signals.signal_{{ signal }},
        {% endfor -%}
        features.*
    from features
    inner join labels on features.customer_id = labels.customer_id and features.as_of_date = labels.as_of_date
    inner join signals on features.customer_id = signals.customer_id and features.as_of_date = signals.as_of_date
    inner join eligibility
        on features.customer_id = eligibility.customer_id
            and features.as_of_date = eligibility.as_of_date
    left join weights on features.customer_id = weights.customer_id and features.as_of_date = weights.as_of_date
    left join contacted
        on features.customer_id = contacted.customer_id
            and features.as_of_date = contacted.as_of_date

)

select * from examples
