{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='outcome_month',
    full_refresh=false,
    on_schema_change='append_new_columns',
    pre_hook='{{ forget_own_months() }}',
) }}

-- Outcome of each customer-month over a window that does not depend on the decisions: within the horizon of the first
-- decision of the month.
with first_decisions as (

    select * from {{ ref('int_first_decisions') }}

),

lasting_decisions as (

    select * from {{ ref('int_lasting_decisions') }}

),

known_contacts as (

    select * from {{ ref('int_known_contacts') }}

),

paid_stretches as (

    select * from {{ ref('int_paid_stretches') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

stayed as (

    {{ stayed_through_horizon('first_decisions') }}

),

-- Whether an offer was made or drawn for the customer within the window, and the probability that all draws left the
-- customer alone. A decision without a draw adds no factor: its probability of no action is 1.
left_alone as (

    select
        first_decisions.action_id,
        max({{ offer_is_assigned('lasting_decisions') }}) as is_assigned,
        sum(case when lasting_decisions.action = 'no_action' then ln(lasting_decisions.propensity_no_action) else 0 end)
            as log_propensity
    from first_decisions
    inner join lasting_decisions
        on first_decisions.customer_id = lasting_decisions.customer_id
            and first_decisions.as_of_date <= lasting_decisions.as_of_date
            and first_decisions.horizon_ends_on > lasting_decisions.as_of_date
    where lasting_decisions.action <> 'no_action' or lasting_decisions.propensity_no_action < 1
    group by first_decisions.action_id

),

-- The day on which a churner was seen to leave, as training knows it: silence is known at the end of the horizon only.
departures as (

    select
        first_decisions.action_id,
        coalesce(max(paid_stretches.ended_on), max(first_decisions.horizon_ends_on)) as left_on
    from first_decisions
    cross join parameters
    left join stayed
        on first_decisions.customer_id = stayed.customer_id and first_decisions.as_of_date = stayed.as_of_date
    left join paid_stretches
        on first_decisions.customer_id = paid_stretches.customer_id
            and first_decisions.as_of_date < paid_stretches.ended_on
            and first_decisions.horizon_ends_on >= paid_stretches.ended_on
            and parameters.churn_definition = 'subscription_end'
    where stayed.customer_id is null
    group by first_decisions.action_id

),

-- A customer who had left before is no less a churner for a contact that came too late.
contacted as (

    select distinct first_decisions.action_id
    from first_decisions
    inner join known_contacts
        on first_decisions.customer_id = known_contacts.customer_id
            and first_decisions.as_of_date < known_contacts.contacted_on
            and first_decisions.horizon_ends_on >= known_contacts.contacted_on
    left join departures on first_decisions.action_id = departures.action_id
    where departures.left_on is null or known_contacts.contacted_on < departures.left_on

),

-- A customer left alone by chance stands for all of the same draw. A later contact by somebody else does not end that:
-- only customers who stay can be contacted later.
customer_months as (

    select
        first_decisions.*,
        cast(stayed.customer_id is null as boolean) as has_churned,
        cast(
            case
                when left_alone.is_assigned = 1 then 0
                when left_alone.action_id is null and contacted.action_id is not null then 0
                else round(exp(-coalesce(left_alone.log_propensity, 0)), 9)
            end as double
        ) as left_alone_weight
    from first_decisions
    left join stayed
        on first_decisions.customer_id = stayed.customer_id and first_decisions.as_of_date = stayed.as_of_date
    left join left_alone on first_decisions.action_id = left_alone.action_id
    left join contacted on first_decisions.action_id = contacted.action_id

)

select * from customer_months
