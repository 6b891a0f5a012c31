-- Who is in the universal holdout follows from two parameters, salt and share: with other ones, other customers are
-- held out, and figures of the programme must not mix them. `assignment` is both as one text, such as demo-1/0.05. It
-- is empty for all runs before the two were recorded, which thereby count as one assignment.
{% set columns = {
    'as_of_date': 'date', 'randomisation_salt': 'string', 'universal_holdout_share': 'double', 'horizon_days': 'integer',
} -%}

with runs as (

    select * from {{ earlier_runs('policy_runs', columns) }} as earlier_runs

),

settings as (

    select
        cast(as_of_date as date) as as_of_date,
        cast(
            coalesce(randomisation_salt || '/' || {{ number_text('universal_holdout_share') }}, '') as string
        ) as assignment,
        cast(horizon_days as integer) as horizon_days
    from runs

)

select * from settings
