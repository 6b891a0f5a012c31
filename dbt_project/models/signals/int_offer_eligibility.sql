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

conditions as (

    select
        customer_id,
        as_of_date,
        {{ conditions_that_hold() }} as offers_that_fit
    from features

),

granted as (

    select
        consents.customer_id,
        consents.valid_from,
        consents.valid_until,
        offers.offer_position
    from consents
    left join offers on consents.channel = offers.channel
    where consents.is_granted

),

-- Consent as known at the date. Without an offer on its channel it counts as consent and allows nothing.
eligibility as (

    select
        cast(conditions.customer_id as string) as customer_id,
        cast(conditions.as_of_date as date) as as_of_date,
        cast(count(granted.customer_id) > 0 as boolean) as has_consent,
        cast(
            max(conditions.offers_that_fit) & coalesce(sum({{ day_bit('granted.offer_position') }}), 0) as bigint
        ) as offers_allowed
    from conditions
    left join granted
        on conditions.customer_id = granted.customer_id
            and conditions.as_of_date >= granted.valid_from
            and (granted.valid_until is null or conditions.as_of_date < granted.valid_until)
    group by conditions.customer_id, conditions.as_of_date

)

select * from eligibility
