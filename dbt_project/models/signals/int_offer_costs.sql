-- What each offer costs for a customer: per contact and per acceptance, by the expressions of offers.csv.
{% set offers = eligible_offers() -%}

with features as (

    select * from {{ ref('customer_features') }}

),

costs as (

    select
        {% for offer in offers -%}
            cast((
                {{ offer.contact_cost }}
            ) as double) as contact_cost_{{ offer.offer_position }},
            cast((
                {{ offer.incentive_cost }}
            ) as double) as incentive_cost_{{ offer.offer_position }},
        {% endfor -%}
        cast(features.customer_id as string) as customer_id,
        cast(features.as_of_date as date) as as_of_date
    from features

)

select * from costs
