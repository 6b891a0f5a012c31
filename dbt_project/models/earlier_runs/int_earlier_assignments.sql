-- How each earlier run drew the universal holdout: under another salt or share, other customers are held out. Runs that
-- did not record it count as one assignment.
{% set columns = {'as_of_date': 'date', 'randomisation_salt': 'varchar', 'universal_holdout_share': 'double'} -%}

with runs as (

    select * from {{ earlier_runs('policy_runs', columns) }} as earlier_runs

),

assignments as (

    select
        cast(as_of_date as date) as as_of_date,
        cast(
            coalesce(randomisation_salt || '/' || cast(universal_holdout_share as varchar), '') as varchar
        ) as assignment
    from runs

)

select * from assignments
