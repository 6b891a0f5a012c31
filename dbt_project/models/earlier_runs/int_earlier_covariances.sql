-- The covariances of the effects that the latest earlier run used; none before the first run, whose effects are the
-- beliefs of the seed.
with run as (

    select * from {{ ref('int_run') }}

),

stored as (

    select *
    from {{ earlier_runs('offer_effect_covariances_history', {
        'as_of_date': 'date', 'offer': 'varchar', 'signal': 'varchar', 'other_offer': 'varchar',
        'other_signal': 'varchar', 'covariance': 'double',
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
