-- Assignments of randomised trials before BayesPilot, to an offer or to none, once their horizon has passed. Contacts
-- that name a decision are left out, because the log of the decision holds their propensity. Campaigns without
-- randomisation are left out, because contacted customers differ from the others.
with contacts as (

    select * from {{ valid_rows('retention_contacts') }}

),

run as (

    select * from {{ ref('int_run') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

matured as (

    select
        contacts.contact_id,
        contacts.customer_id,
        contacts.offer,
        contacts.contacted_on as as_of_date,
        contacts.accepted_on,
        {{ add_days('contacts.contacted_on', 'parameters.horizon_days') }} as horizon_ends_on,
        {{ add_days("cast(date_trunc('month', contacts.contacted_on) as date)", -1) }} as scored_on
    from contacts
    cross join parameters
    inner join run on {{ add_days('contacts.contacted_on', label_wait_days()) }} <= run.as_of_date
    where contacts.is_randomized and contacts.propensity < 1 and {{ is_missing_id('contacts.action_id') }}

),

stayed as (

    {{ stayed_through_horizon('matured') }}

),

assignments as (

    select
        cast(matured.contact_id as string) as contact_id,
        cast(matured.customer_id as string) as customer_id,
        cast(matured.offer as string) as offer,
        cast(matured.as_of_date as date) as as_of_date,
        cast(matured.scored_on as date) as scored_on,
        cast(coalesce(matured.accepted_on <= matured.horizon_ends_on, false) as boolean) as has_accepted,
        cast(stayed.customer_id is null as boolean) as has_churned
    from matured
    left join stayed
        on matured.customer_id = stayed.customer_id and matured.as_of_date = stayed.as_of_date

)

select * from assignments
