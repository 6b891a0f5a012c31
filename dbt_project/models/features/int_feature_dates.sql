{{ config(materialized='table') }}
{{ check_stored_features() }}

-- The dates for which this build computes customer_features: the run's own, and those that a training or a past trial
-- needs and that are not stored yet, were asked for (rebuild_dates), or were built from lost input. Stored dates that
-- were built under another definition of the features stop the run.
{% set built_otherwise = error_text(
    "customer_features was built for another activity map, churn definition, at_risk_days, payment_grace_days or resume_grace_days than ",
    "definition.churn_definition",
    " and its parameters; run dbt build --full-refresh --vars '{retrain: true}', since labels and features mean something"
    ~ " else now (history and decisions stay as they are)"
) -%}

{% set not_stored = error_text(
    "rebuild_dates holds ", "asked_dates.as_of_date",
    ", for which customer_features stores nothing; choose dates of: select distinct as_of_date from customer_features"
) -%}

{% set stored_columns = {'as_of_date': 'date', 'feature_definition': 'string'} -%}

with run as (

    select * from {{ ref('int_run') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

trial_dates as (

    select * from {{ ref('int_trial_dates') }}

),

dates_of_lost_input as (

    select *
    from {{ own_earlier_runs('int_dates_of_lost_input', {'as_of_date': 'date'}) }} as dates_of_last_build

),

built_dates as (

    select
        features.as_of_date,
        max(features.feature_definition) as feature_definition,
        max(case when dates_of_lost_input.as_of_date is not null then 1 else 0 end) as is_of_lost_input
    from {{ own_earlier_runs('customer_features', stored_columns) }} as features
    left join dates_of_lost_input on features.as_of_date = dates_of_lost_input.as_of_date
    where {{ 'false' if flags.FULL_REFRESH else 'true' }}
    group by features.as_of_date

),

definition as (

    select
        run.as_of_date as run_date,
        run.data_starts_on,
        parameters.*,
        cast(md5(
            run.activity_map_hash || parameters.churn_definition || cast(parameters.at_risk_days as string)
            || '/' || cast(parameters.payment_grace_days as string)
            || '/' || cast(parameters.resume_grace_days as string)
        ) as string) as feature_definition
    from run
    cross join parameters

),

calendar as (

    {{ day_series(
        add_days('data_starts_on', 'minimum_history_days'), add_days('run_date', '-(horizon_days + resume_grace_days)')
    ) }}
    from definition

),

-- Training dates lie on a grid that no run's date moves: nightly runs add no near-copies of earlier rows, and the
-- grid is out of step with weeks and months.
training_grid as (

    select
        calendar.day as as_of_date,
        row_number() over (order by calendar.day desc) as dates_back
    from calendar
    cross join definition
    where {{ is_training_date('calendar.day', 'definition.training_step_days') }}

),

training_dates as (

    select training_grid.as_of_date
    from training_grid
    cross join definition
    where training_grid.dates_back <= definition.training_dates

),

first_training_date as (

    select min(as_of_date) as first_date
    from training_dates

),

asked_dates as (

    {{ rebuild_dates() }}

),

needed_dates as (

    select run_date as as_of_date
    from definition
    union
    select training_dates.as_of_date
    from training_dates
    union
    select trial_dates.as_of_date
    from trial_dates
    inner join definition on trial_dates.as_of_date < definition.run_date
    inner join first_training_date on trial_dates.as_of_date >= first_training_date.first_date
    union
    select as_of_date
    from asked_dates
    union
    select as_of_date
    from dates_of_lost_input

),

stored_otherwise as (

    select count(*) as dates_built_otherwise
    from built_dates
    inner join definition on built_dates.feature_definition <> definition.feature_definition

),

dates_to_build as (

    select
        cast(needed_dates.as_of_date as date) as as_of_date,
        cast(
            case
                when stored_otherwise.dates_built_otherwise > 0 then {{ raise_error(built_otherwise) }}
                when asked_dates.as_of_date is not null and built_dates.as_of_date is null
                    then {{ raise_error(not_stored) }}
                else definition.feature_definition
            end as string
        ) as feature_definition
    from needed_dates
    cross join definition
    cross join stored_otherwise
    left join built_dates on needed_dates.as_of_date = built_dates.as_of_date
    left join asked_dates on needed_dates.as_of_date = asked_dates.as_of_date
    where needed_dates.as_of_date = definition.run_date
        or built_dates.as_of_date is null
        or built_dates.is_of_lost_input = 1
        or asked_dates.as_of_date is not null

)

select * from dates_to_build
