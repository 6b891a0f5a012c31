with retention_contacts as (

    select * from {{ ref('stg_retention_contacts') }}

),

customers as (

    select * from {{ valid_rows('customers') }}

),

run as (

    select * from {{ ref('int_run') }}

),

judged as (

    select
        retention_contacts.*,
        case
            when {{ is_missing_id('retention_contacts.contact_id') }} then 'missing_contact_id'
            when {{ is_missing_id('retention_contacts.customer_id') }} then 'missing_customer_id'
            when customers.customer_id is null then 'unknown_customer'
            when retention_contacts.offer is null then 'missing_offer'
            when retention_contacts.contacted_on is null then 'missing_contacted_on'
            when {{ is_placeholder_day('retention_contacts.contacted_on') }} then 'placeholder_date'
            when retention_contacts.contacted_on > run.data_ends_on then 'after_data_end'
            when retention_contacts.accepted_on < retention_contacts.contacted_on then 'accepted_before_contacted'
            when retention_contacts.cost is null or retention_contacts.cost < 0 then 'missing_or_negative_cost'
            when {{ is_beyond_counting('retention_contacts.cost') }} then 'cost_out_of_range'
            when
                retention_contacts.is_randomized
                and (
                    retention_contacts.propensity is null
                    or retention_contacts.propensity <= 0
                    or retention_contacts.propensity > 1
                )
                then 'propensity_out_of_range'
        end as fault
    from retention_contacts
    cross join run
    left join customers on retention_contacts.customer_id = customers.customer_id
    where {{ is_not_erased('case when customers.customer_id is null then retention_contacts.customer_id end') }}

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
