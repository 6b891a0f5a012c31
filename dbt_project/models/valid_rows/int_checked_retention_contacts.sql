with retention_contacts as (

    select * from {{ ref('stg_retention_contacts') }}

),

customers as (

    select * from {{ valid_rows('customers') }}

),

run as (

    select * from {{ ref('int_run') }}

),

numbered as (

    select
        retention_contacts.*,
        row_number() over (
            partition by contact_id
            order by customer_id, contacted_on, offer, action_id
        ) as copy_number
    from retention_contacts

),

checked as (

    select
        numbered.*,
        case
            when numbered.contact_id is null then 'missing_contact_id'
            when numbered.customer_id is null then 'missing_customer_id'
            when customers.customer_id is null then 'unknown_customer'
            when numbered.offer is null then 'missing_offer'
            when numbered.contacted_on is null then 'missing_contacted_on'
            when numbered.contacted_on > run.data_ends_on then 'after_data_end'
            when numbered.accepted_on < numbered.contacted_on then 'accepted_before_contacted'
            when numbered.cost is null or numbered.cost < 0 then 'missing_or_negative_cost'
            when
                numbered.is_randomized
                and (numbered.propensity is null or numbered.propensity <= 0 or numbered.propensity > 1)
                then 'propensity_out_of_range'
            when numbered.copy_number > 1 then 'duplicate_contact_id'
        end as quarantine_reason
    from numbered
    cross join run
    left join customers on numbered.customer_id = customers.customer_id

)

select * from checked
