{{ config(materialized='table') }}

with priors as (

    select * from {{ ref('offer_effect_priors') }}

),

effects as (

    select
        cast(offer as varchar) as offer,
        cast(signal as varchar) as signal,
        cast(mean as double) as effect_mean,
        cast(sd as double) as effect_sd,
        cast('assumed' as varchar) as effect_source
    from priors
    where {{ seeds_are_sound() }}

)

select * from effects
