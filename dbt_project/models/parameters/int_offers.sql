{{ config(materialized='table') }}

with offers as (

    select * from {{ ref('offers') }}

),

channels as (

    select * from {{ ref('int_channels') }}

),

numbered as (

    select
        cast(offers.offer as string) as offer,
        cast(row_number() over (order by offers.offer) - 1 as integer) as offer_position,
        cast(offers.action_label as string) as action_label,
        cast(offers.channel as string) as channel,
        cast(offers.contact_cost as string) as contact_cost,
        cast(offers.incentive_cost as string) as incentive_cost,
        cast(offers.acceptance_rate as double) as acceptance_rate,
        cast(offers.acceptance_sd as double) as acceptance_sd,
        {{ seed_integer('offers.monthly_capacity') }} as monthly_capacity,
        cast(channels.monthly_capacity as integer) as channel_capacity,
        {{ seed_integer('offers.lock_out_days') }} as lock_out_days,
        cast(offers.eligible_when as string) as eligible_when
    from offers
    inner join channels on offers.channel = channels.channel
    where {{ seeds_are_sound() }}

)

select * from numbered
