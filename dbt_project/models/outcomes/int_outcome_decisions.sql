{{ config(materialized='table') }}

-- The decisions whose outcome counts, once a horizon has passed: the one that opened each episode, and the first of
-- each calendar month in which none opened. Which one that is must be final, so a month without an episode waits until
-- the plan of its last day is known too. Those of final months are left out.
with lasting_decisions as (

    select * from {{ ref('int_lasting_decisions') }}

),

open_outcomes as (

    select * from {{ ref('int_open_outcomes') }}

),

run as (

    select * from {{ ref('int_run') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

dated as (

    select
        lasting_decisions.*,
        cast(date_trunc('month', lasting_decisions.as_of_date) as date) as outcome_month,
        {{ opens_episode('lasting_decisions.arm') }} as opens_episode,
        {{ add_days('lasting_decisions.as_of_date', 'lasting_decisions.horizon_days') }} as horizon_ends_on
    from lasting_decisions
    inner join open_outcomes on lasting_decisions.as_of_date >= open_outcomes.open_from

),

months_with_episode as (

    select distinct
        customer_id,
        outcome_month
    from dated
    where opens_episode

),

matured as (

    select dated.*
    from dated
    cross join parameters
    inner join run on {{ add_days('dated.horizon_ends_on', 'parameters.resume_grace_days') }} <= run.as_of_date
    left join months_with_episode
        on dated.customer_id = months_with_episode.customer_id
            and dated.outcome_month = months_with_episode.outcome_month
    where dated.opens_episode
        or (
            months_with_episode.customer_id is null
            and dated.is_first_of_month
            and last_day(dated.as_of_date) < run.as_of_date
        )

)

select * from matured
