-- When a customer billed for longer than the horizon can leave next: at the end of the commitment, else at the next
-- year after the subscription began. Customers billed more often can leave at any time.
with features as (

    select * from {{ ref('customer_features') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

billing as (

    select
        features.customer_id,
        features.as_of_date,
        features.days_to_commitment_end,
        coalesce(features.billing_period = 'annual' and parameters.horizon_days < 365, false) as is_annual,
        mod(365 - mod(features.days_in_current_period, 365), 365) as days_to_next_year
    from features
    cross join parameters

),

renewals as (

    select
        cast(customer_id as varchar) as customer_id,
        cast(as_of_date as date) as as_of_date,
        cast(case when is_annual then 365 else 0 end as integer) as renewal_interval_days,
        cast(
            case when is_annual then coalesce(days_to_commitment_end, days_to_next_year) else 0 end as integer
        ) as days_to_renewal
    from billing

)

select * from renewals
