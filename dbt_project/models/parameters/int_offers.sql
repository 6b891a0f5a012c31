{{ config(materialized='table') }}

with offers as (

    select * from {{ ref('offers') }}

),

numbered as (

    select
        cast(offer as varchar) as offer,
        cast(row_number() over (order by offer) - 1 as integer) as offer_position,
        cast(action_label as varchar) as action_label,
        cast(channel as varchar) as channel,
        cast(contact_cost as double) as contact_cost,
        cast(incentive_cost as double) as incentive_cost,
        cast(acceptance_rate as double) as acceptance_rate,
        cast(acceptance_sd as double) as acceptance_sd,
        cast(monthly_capacity as integer) as monthly_capacity,
        cast(lock_out_days as integer) as lock_out_days,
        cast(eligible_when as varchar) as eligible_when
    from offers
    where {{ seeds_are_sound() }}

)

select * from numbered
