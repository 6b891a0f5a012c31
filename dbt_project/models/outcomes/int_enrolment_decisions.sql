-- The first and the newest decision about each customer in each finished month that is not kept yet, under the
-- assignment of the month's last run. Finished: the month is over, its last day's decisions included, and so is the
-- time within which a customer who paused at its end may come back.
-- depends_on: {{ ref('int_input_gate') }}
with previous_actions as (

    select * from {{ ref('int_previous_actions') }}

),

assignments as (

    select * from {{ ref('int_earlier_settings') }}

),

run as (

    select * from {{ ref('int_run') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

kept as (

    select max(outcome_month) as kept_month
    from {{ ref('int_earlier_enrolled_months') }}

),

runs as (

    select
        assignments.as_of_date,
        assignments.assignment,
        cast(date_trunc('month', assignments.as_of_date) as date) as outcome_month
    from assignments
    cross join run
    cross join parameters
    cross join kept
    where
        last_day(assignments.as_of_date) < run.as_of_date
        and {{ add_days('last_day(assignments.as_of_date)', 'parameters.resume_grace_days') }} <= run.as_of_date
        and (kept.kept_month is null or cast(date_trunc('month', assignments.as_of_date) as date) > kept.kept_month)

),

ranked_runs as (

    select
        runs.*,
        first_value(assignment) over (partition by outcome_month order by as_of_date desc) as month_assignment
    from runs

),

decisions as (

    select
        cast(previous_actions.customer_id as string) as customer_id,
        cast(ranked_runs.outcome_month as date) as outcome_month,
        cast(ranked_runs.assignment as string) as assignment,
        cast(min(previous_actions.as_of_date) as date) as decided_on,
        cast(min_by(previous_actions.arm, previous_actions.as_of_date) = 'universal_holdout' as boolean)
            as is_untouched,
        cast(round(min_by(previous_actions.customer_value, previous_actions.as_of_date) * 100) as bigint)
            as value_cents,
        cast(round(max_by(previous_actions.customer_value, previous_actions.as_of_date) * 100) as bigint)
            as newest_value_cents
    from previous_actions
    inner join ranked_runs on previous_actions.as_of_date = ranked_runs.as_of_date
    where {{ input_is_complete() }} and ranked_runs.assignment = ranked_runs.month_assignment
    group by previous_actions.customer_id, ranked_runs.outcome_month, ranked_runs.assignment

)

select * from decisions
