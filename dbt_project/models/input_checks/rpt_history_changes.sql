{{ config(materialized='table', post_hook='{{ warn_of_changed_history() }}') }}

-- Counts are always compared. fact_sum depends on the version of the engine, so sums are compared within one version.
with fingerprints as (

    select * from {{ ref('int_date_fingerprints') }}

),

stored as (

    select * from {{ ref('int_stored_fingerprints') }}

),

dates as (

    select distinct as_of_date
    from stored

),

now as (

    select fingerprints.*
    from fingerprints
    inner join dates on fingerprints.as_of_date = dates.as_of_date

),

compared as (

    select
        coalesce(stored.as_of_date, now.as_of_date) as as_of_date,
        coalesce(stored.fact, now.fact) as fact,
        coalesce(stored.facts, 0) as facts_when_built,
        coalesce(now.facts, 0) as facts_now,
        coalesce(stored.fact_sum, 0) <> coalesce(now.fact_sum, 0)
        and coalesce(stored.made_by, now.made_by) = coalesce(now.made_by, stored.made_by) as has_other_values
    from stored
    full outer join now on stored.as_of_date = now.as_of_date and stored.fact = now.fact

),

changes as (

    select
        cast(as_of_date as date) as as_of_date,
        cast(fact as string) as feed,
        cast(facts_when_built as bigint) as facts_when_built,
        cast(facts_now as bigint) as facts_now
    from compared
    where (facts_when_built <> facts_now or has_other_values)
        and not ({{ is_declared(feed_of_fact('fact'), 'changed', 'ignore') }})

)

select * from changes
