-- How far errors of the assumed or measured offer effects go together, as the latest earlier run knew it. A training
-- reads this beside int_earlier_effects. There are no rows before the first run: the effects are then those of the
-- seed, and the training computes the covariances from the seed's sds and offer_effect_correlation. The same holds for
-- pairs of an offer that was added since.
with run as (

    select * from {{ ref('int_run') }}

),

stored as (

    select *
    from {{ earlier_runs('offer_effect_covariances_history', {
        'as_of_date': 'date', 'offer': 'string', 'signal': 'string', 'other_offer': 'string',
        'other_signal': 'string', 'covariance': 'double',
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

covariances as (

    select
        earlier.offer,
        earlier.signal,
        earlier.other_offer,
        earlier.other_signal,
        earlier.covariance
    from earlier
    inner join latest_date on earlier.as_of_date = latest_date.as_of_date

)

select * from covariances
