{{ config(materialized='table') }}

with measured_effects as (

    select * from {{ ref('int_measured_effects') }}

),

effects as (

    select
        cast(offer as string) as offer,
        cast(signal as string) as signal,
        cast(effect_mean as double) as effect_mean,
        cast(effect_sd as double) as effect_sd,
        cast(effect_source as string) as effect_source,
        cast(prior_mean as double) as prior_mean,
        cast(prior_sd as double) as prior_sd,
        cast(contacted_customers as bigint) as contacted_customers,
        cast(contacted_churned as bigint) as contacted_churned,
        cast(contacted_expected as double) as contacted_expected,
        cast(control_customers as bigint) as control_customers,
        cast(control_churned as bigint) as control_churned,
        cast(control_expected as double) as control_expected
    from measured_effects
    where offer = other_offer and signal = other_signal and {{ seeds_are_sound() }}

)

select * from effects
