-- The offers as decisions read them: costs by the seed, acceptance rates as measured.
with offers as (

    select * from {{ ref('int_offers') }}

),

acceptance as (

    select * from {{ ref('int_measured_acceptance') }}

),

measured as (

    select
        offers.offer,
        offers.offer_position,
        offers.action_label,
        offers.channel,
        offers.contact_cost,
        offers.incentive_cost,
        cast(acceptance.acceptance_rate as double) as acceptance_rate,
        offers.monthly_capacity,
        offers.channel_capacity,
        offers.lock_out_days,
        offers.eligible_when
    from offers
    left join acceptance on offers.offer = acceptance.offer

)

select * from measured
