-- The shop made no retention contacts: all churn in the file is churn of customers left alone.

with no_retention_contacts as (

    select
        cast(null as string) as contact_id,
        cast(null as string) as action_id,
        cast(null as string) as customer_id,
        cast(null as string) as offer,
        cast(null as date) as contacted_on,
        cast(null as date) as accepted_on,
        cast(null as decimal(18, 2)) as cost,
        cast(null as boolean) as is_randomized,
        cast(null as double) as propensity
    where false

)

select * from no_retention_contacts
