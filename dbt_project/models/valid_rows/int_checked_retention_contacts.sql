with retention_contacts as (

    select * from {{ ref('stg_retention_contacts') }}

),

customers as (

    select * from {{ valid_rows('customers') }}

),

run as (

    select * from {{ ref('int_run') }}

),

stated_contacts as (

    select
        contact_id,
        action_id,
        customer_id,
        offer,
        contacted_on,
        {{ stated_day('accepted_on') }} as accepted_on,
        cost,
        coalesce(is_randomized, false) as is_randomized,
        propensity
    from retention_contacts

),

judged as (

    select
        stated_contacts.*,
        case
            when {{ is_missing_id('stated_contacts.contact_id') }} then 'missing_contact_id'
            when {{ is_missing_id('stated_contacts.customer_id') }} then 'missing_customer_id'
            when customers.customer_id is null then 'unknown_customer'
            when stated_contacts.offer is null then 'missing_offer'
            when stated_contacts.contacted_on is null then 'missing_contacted_on'
            when {{ is_placeholder_day('stated_contacts.contacted_on') }} then 'placeholder_date'
            when stated_contacts.contacted_on > run.data_ends_on then 'after_data_end'
            when stated_contacts.accepted_on < stated_contacts.contacted_on then 'accepted_before_contacted'
            when stated_contacts.cost is null or stated_contacts.cost < 0 then 'missing_or_negative_cost'
            when {{ is_beyond_counting('stated_contacts.cost') }} then 'cost_out_of_range'
            when
                stated_contacts.is_randomized
                and (
                    stated_contacts.propensity is null
                    or stated_contacts.propensity <= 0
                    or stated_contacts.propensity > 1
                )
                then 'propensity_out_of_range'
        end as fault
    from stated_contacts
    cross join run
    left join customers on stated_contacts.customer_id = customers.customer_id
    where {{ is_not_erased('case when customers.customer_id is null then stated_contacts.customer_id end') }}

),

-- A contact that is sent again once it is accepted stays with its answer, and with what the incentive has cost.
checked as (

    {{ set_copies_aside(
        'judged', 'contact_id',
        'customer_id, contacted_on, offer, action_id, accepted_on, cost desc, is_randomized desc, propensity',
        'duplicate_contact_id'
    ) }}

)

select * from checked
