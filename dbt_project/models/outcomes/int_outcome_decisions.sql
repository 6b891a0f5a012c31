{{ config(materialized='table') }}

-- The decisions whose outcome counts, once a horizon has passed: the one that opened each episode, and the first of
-- each calendar month in which none opened. Which one that is must be final, so a month without an episode waits for
-- its end.
with previous_actions as (

    select * from {{ ref('int_previous_actions') }}

),

run as (

    select * from {{ ref('int_run') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

dated as (

    select
        previous_actions.*,
        cast(date_trunc('month', as_of_date) as date) as outcome_month,
        arm in ('policy', 'pick_holdout', 'trial') as opens_episode,
        {{ add_days('as_of_date', 'parameters.horizon_days') }} as horizon_ends_on
    from previous_actions
    cross join parameters

),

numbered as (

    select
        dated.*,
        max(case when opens_episode then 1 else 0 end) over (partition by customer_id, outcome_month) as has_episode,
        row_number() over (partition by customer_id, outcome_month order by as_of_date) as month_rank
    from dated

),

matured as (

    select numbered.*
    from numbered
    cross join parameters
    inner join run on {{ add_days('numbered.as_of_date', label_wait_days()) }} <= run.as_of_date
    where numbered.opens_episode
        or (
            numbered.has_episode = 0
            and numbered.month_rank = 1
            and {{ dbt.last_day('numbered.as_of_date', 'month') }} <= run.as_of_date
        )

)

select * from matured
