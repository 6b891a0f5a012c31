-- The offers that consent and the offers' own conditions admit, as bits in the order of offer_position.
{% set offers = eligible_offers() -%}

with features as (

    select * from {{ ref('customer_features') }}

),

customers as (

    select * from {{ ref('int_valid_customers') }}

),

consents as (

    select
        features.*,
        coalesce(customers.consents_to_email, false) as consents_to_email,
        coalesce(customers.consents_to_phone, false) as consents_to_phone,
        coalesce(customers.consents_to_push, false) as consents_to_push
    from features
    left join customers on features.customer_id = customers.customer_id

),

eligibility as (

    select
        cast(customer_id as varchar) as customer_id,
        cast(as_of_date as date) as as_of_date,
        cast(consents_to_email or consents_to_phone or consents_to_push as boolean) as has_consent,
        cast(
            0
            {% for offer in offers -%}
                + case
                    when not consents_to_{{ offer.channel }} then 0
                    when {{ offer.eligible_when }} then {{ 2 ** offer.offer_position }}
                    else 0
                end
            {% endfor %}
            as bigint
        ) as offers_allowed
    from consents

)

select * from eligibility
