-- When a customer billed for longer than the horizon can leave next: at the end of the commitment, else at the next year
-- after the subscription began. Customers billed more often can leave at any time.
with features as (

    select * from {{ ref('customer_features') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

renewals as (

    select
        cast(features.customer_id as varchar) as customer_id,
        cast(features.as_of_date as date) as as_of_date,
        cast(
            case when features.billing_period = 'annual' and parameters.horizon_days < 365 then 365 else 0 end as integer
        ) as renewal_interval_days,
        cast(
            case
                when features.billing_period = 'annual' and parameters.horizon_days < 365
                    then coalesce(
                        features.days_to_commitment_end, mod(365 - mod(features.days_in_current_period, 365), 365)
                    )
                else 0
            end as integer
        ) as days_to_renewal
    from features
    cross join parameters

)

select * from renewals
