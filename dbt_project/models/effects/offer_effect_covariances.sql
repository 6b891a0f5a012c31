{{ config(materialized='table') }}

with measured_effects as (

    select * from {{ ref('int_measured_effects') }}

),

covariances as (

    select
        cast(offer as string) as offer,
        cast(signal as string) as signal,
        cast(other_offer as string) as other_offer,
        cast(other_signal as string) as other_signal,
        cast(covariance as double) as covariance
    from measured_effects
    where {{ seeds_are_sound() }}

)

select * from covariances
