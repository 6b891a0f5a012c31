-- Who is in the universal holdout follows from two parameters, salt and share: with other ones, other customers are
-- held out, and figures of the programme must not mix them. `assignment` is both as one text, such as demo-1/0.05. It
-- is empty for all runs before the two were recorded, which thereby count as one assignment. Runs before the horizon
-- was recorded are taken to have had that of the first run with one, which a change of the policy does not move.
{% set columns = {
    'as_of_date': 'date', 'randomisation_salt': 'string', 'universal_holdout_share': 'double', 'horizon_days': 'integer',
} -%}

with runs as (

    select * from {{ earlier_runs('policy_runs', columns) }} as earlier_runs

),

first_known as (

    select min_by(horizon_days, as_of_date) as horizon_days
    from runs
    where horizon_days is not null

),

settings as (

    select
        cast(runs.as_of_date as date) as as_of_date,
        cast(
            coalesce(
                runs.randomisation_salt || '/' || {{ number_text('runs.universal_holdout_share') }}, ''
            ) as string
        ) as assignment,
        cast(coalesce(runs.horizon_days, first_known.horizon_days) as integer) as horizon_days
    from runs
    cross join first_known

)

select * from settings
