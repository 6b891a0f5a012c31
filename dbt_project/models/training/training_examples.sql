-- Features of a customer at a training date, whether the customer left, and whether a contact fell into the horizon.
-- Dates of other nights are left out: they would add near-copies. Nothing is learned from input that is lost. A view,
-- because most nights train nothing.
with features as (

    select * from {{ ref('customer_features') }}

),

labels as (

    select * from {{ ref('churn_labels') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

matured_dates as (

    select
        labels.as_of_date,
        row_number() over (order by labels.as_of_date desc) as dates_back
    from labels
    cross join parameters
    where {{ is_training_date('labels.as_of_date', 'parameters.training_step_days') }}
    group by labels.as_of_date

),

training_dates as (

    select matured_dates.as_of_date
    from matured_dates
    cross join parameters
    where matured_dates.dates_back <= parameters.training_dates

),

contacts as (

    select * from {{ valid_rows('retention_contacts') }}

),

-- A contact that is set aside for a fault was made all the same: it leaves nobody alone.
reported_contacts as (

    select * from {{ contacts_that_exclude() }} as reported

),

paid_stretches as (

    select * from {{ ref('int_paid_stretches') }}

),

signals as (

    select * from {{ ref('int_reason_signals') }}

),

eligibility as (

    select * from {{ ref('int_offer_eligibility') }}

),

costs as (

    select * from {{ ref('int_offer_costs') }}

),

renewals as (

    select * from {{ ref('int_renewals') }}

),

earlier_actions as (

    select * from {{ ref('int_lasting_decisions') }}

),

-- What an own decision assigned at random within the horizon explains a contact that follows: the episode opened here.
opened as (

    select
        labels.customer_id,
        labels.as_of_date,
        {{ is_left_alone_by_draw('earlier_actions') }} as is_left_alone,
        earlier_actions.propensity_no_action
    from labels
    inner join earlier_actions
        on labels.customer_id = earlier_actions.customer_id
            and labels.as_of_date <= earlier_actions.as_of_date
            and labels.horizon_ends_on > earlier_actions.as_of_date
    where earlier_actions.propensity_no_action > 0 and earlier_actions.propensity_no_action < 1

),

-- The day on which a churner was seen to leave: silence is known at the end of the horizon only.
departures as (

    select
        labels.customer_id,
        labels.as_of_date,
        coalesce(max(paid_stretches.ended_on), labels.horizon_ends_on) as left_on
    from labels
    left join paid_stretches
        on labels.customer_id = paid_stretches.customer_id
            and labels.as_of_date < paid_stretches.ended_on
            and labels.horizon_ends_on >= paid_stretches.ended_on
            and labels.churn_definition = 'subscription_end'
    where labels.has_churned
    group by labels.customer_id, labels.as_of_date, labels.horizon_ends_on

),

contacts_in_horizon as (

    select
        labels.customer_id,
        labels.as_of_date,
        reported_contacts.is_randomized,
        opened.customer_id is not null as is_own_control,
        {{ days_between('labels.as_of_date', 'reported_contacts.contacted_on') }} as days_to_contact
    from labels
    inner join reported_contacts
        on labels.customer_id = reported_contacts.customer_id
            and labels.as_of_date < reported_contacts.contacted_on
            and labels.horizon_ends_on >= reported_contacts.contacted_on
    left join departures
        on labels.customer_id = departures.customer_id
            and labels.as_of_date = departures.as_of_date
    left join opened
        on labels.customer_id = opened.customer_id
            and labels.as_of_date = opened.as_of_date
            and opened.is_left_alone
    where
        reported_contacts.offer <> 'no_action'
        -- Who has left before is no less a churner for a contact that came too late.
        and (departures.left_on is null or reported_contacts.contacted_on < departures.left_on)

),

-- Own decisions censor at the assignment: a customer assigned a contact drops out, executed or not, because a customer
-- who leaves before the contact is never contacted, so that the missed ones hold too many churners.
contacted as (

    select
        customer_id,
        as_of_date
    from opened
    where not is_left_alone
    union
    select
        customer_id,
        as_of_date
    from contacts_in_horizon
    where not is_own_control

),

-- Customers left alone at random: in past trials, and by own decisions. They stand for all who were assigned with them,
-- contacted by others later or not: assignment alone decides.
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
        customer_id,
        as_of_date,
        propensity_no_action as propensity
    from opened
    where is_left_alone

),

-- Contacts that no logged draw explains: past campaigns, other teams. Training weighs the customers that they missed.
unexplained as (

    select
        contacts_in_horizon.customer_id,
        contacts_in_horizon.as_of_date,
        min(contacts_in_horizon.days_to_contact) as days_to_contact
    from contacts_in_horizon
    left join opened
        on contacts_in_horizon.customer_id = opened.customer_id
            and contacts_in_horizon.as_of_date = opened.as_of_date
    where not contacts_in_horizon.is_randomized and opened.customer_id is null
    group by contacts_in_horizon.customer_id, contacts_in_horizon.as_of_date

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
        cast(unexplained.days_to_contact as integer) as days_to_unexplained_contact,
        cast({{ days_between('features.as_of_date', 'departures.left_on') }} as integer) as days_to_departure,
        eligibility.offers_allowed,
        {% for signal in reason_signals() -%}
            signals.signal_{{ signal }},
        {% endfor -%}
        {% for column in cost_columns() -%}
            costs.{{ column }},
        {% endfor -%}
        renewals.renewal_interval_days,
        renewals.days_to_renewal,
        features.*
    from features
    inner join labels on features.customer_id = labels.customer_id and features.as_of_date = labels.as_of_date
    inner join signals on features.customer_id = signals.customer_id and features.as_of_date = signals.as_of_date
    inner join eligibility
        on features.customer_id = eligibility.customer_id
            and features.as_of_date = eligibility.as_of_date
    inner join costs on features.customer_id = costs.customer_id and features.as_of_date = costs.as_of_date
    inner join renewals
        on features.customer_id = renewals.customer_id and features.as_of_date = renewals.as_of_date
    inner join training_dates on features.as_of_date = training_dates.as_of_date
    left join weights on features.customer_id = weights.customer_id and features.as_of_date = weights.as_of_date
    left join contacted
        on features.customer_id = contacted.customer_id
            and features.as_of_date = contacted.as_of_date
    left join unexplained
        on features.customer_id = unexplained.customer_id
            and features.as_of_date = unexplained.as_of_date
    left join departures
        on features.customer_id = departures.customer_id
            and features.as_of_date = departures.as_of_date
    where {{ input_is_complete() }}

)

select * from examples
