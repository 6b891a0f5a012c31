-- The effects that the latest earlier run used, or the priors of the seed. Training values contacts with these: the
-- effects of the run itself depend on churn probabilities of past trials, and so on a trained pipeline.
with priors as (

    select * from {{ ref('int_offer_effect_priors') }}

),

run as (

    select * from {{ ref('int_run') }}

),

stored as (

    select *
    from {{ earlier_runs('offer_effects_history', {
        'as_of_date': 'date', 'offer': 'string', 'signal': 'string', 'effect_mean': 'double', 'effect_sd': 'double',
        'effect_source': 'string',
    }) }} as history

),

earlier as (

    select stored.*
    from stored
    inner join run on stored.as_of_date < run.as_of_date

),

latest_date as (

    select max(as_of_date) as as_of_date
    from earlier

),

latest as (

    select earlier.*
    from earlier
    inner join latest_date on earlier.as_of_date = latest_date.as_of_date

),

effects as (

    select
        cast(priors.offer as string) as offer,
        cast(priors.signal as string) as signal,
        cast(coalesce(latest.effect_mean, priors.mean) as double) as effect_mean,
        cast(coalesce(latest.effect_sd, priors.sd) as double) as effect_sd,
        cast(coalesce(latest.effect_source, 'assumed') as string) as effect_source
    from priors
    left join latest on priors.offer = latest.offer and priors.signal = latest.signal
    where {{ seeds_are_sound() }}

)

select * from effects
