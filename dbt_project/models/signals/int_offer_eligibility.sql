-- The offers that a customer's consents and the offers' own conditions allow, as bits in the order of offer_position.

with features as (

    select * from {{ ref('customer_features') }}

),

consents as (

    select * from {{ ref('int_consents') }}

),

offers as (

    select * from {{ ref('int_offers') }}

),

-- Consent as known at the date. Without an offer on its channel it counts as consent and allows nothing.
consented as (

    select
        features.customer_id,
        features.as_of_date,
        cast(coalesce(sum({{ day_bit('offers.offer_position') }}), 0) as bigint) as offers_with_consent
    from features
    inner join consents
        on features.customer_id = consents.customer_id
            and features.as_of_date >= consents.valid_from
            and (consents.valid_until is null or features.as_of_date < consents.valid_until)
    left join offers on consents.channel = offers.channel
    where consents.is_granted
    group by features.customer_id, features.as_of_date

),

customers as (

    select
        features.*,
        consented.customer_id is not null as has_consent,
        coalesce(consented.offers_with_consent, 0) as offers_with_consent
    from features
    left join consented
        on features.customer_id = consented.customer_id and features.as_of_date = consented.as_of_date

),

eligibility as (

    select
        cast(customer_id as string) as customer_id,
        cast(as_of_date as date) as as_of_date,
        cast(has_consent as boolean) as has_consent,
        cast(
            offers_with_consent & {{ conditions_that_hold() }} as bigint
        ) as offers_allowed
    from customers

)

select * from eligibility
