{{ config(materialized='table') }}
{{ check_stored_features() }}

{% set built_otherwise = error_text(
    "customer_features was built for another activity map, churn definition, at_risk_days, payment_grace_days or resume_grace_days than ",
    "definition.churn_definition",
    " and its parameters; run dbt build --full-refresh (history and decisions stay as they are)"
) -%}

{% set not_stored = error_text(
    "rebuild_dates holds ", "asked_dates.as_of_date",
    ", for which customer_features stores nothing; choose dates of: select distinct as_of_date from customer_features"
) -%}

with run as (

    select * from {{ ref('int_run') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

built_dates as (

    select
        as_of_date,
        max(feature_definition) as feature_definition
    from {{ earlier_runs('customer_features', {'as_of_date': 'date', 'feature_definition': 'varchar'}) }} as features
    where {{ 'false' if flags.FULL_REFRESH else 'true' }}
    group by as_of_date

),

definition as (

    select
        run.as_of_date as run_date,
        run.data_starts_on,
        parameters.*,
        cast(md5(
            run.activity_map_hash || parameters.churn_definition || cast(parameters.at_risk_days as varchar)
            || '/' || cast(parameters.payment_grace_days as varchar)
            || '/' || cast(parameters.resume_grace_days as varchar)
        ) as varchar) as feature_definition
    from run
    cross join parameters

),

calendar as (

    {{ day_series(
        add_days('data_starts_on', 'minimum_history_days'), add_days('run_date', '-(horizon_days + resume_grace_days)')
    ) }}
    from definition

),

month_ends as (

    select
        day as as_of_date,
        row_number() over (order by day desc) as months_back
    from calendar
    where day = {{ dbt.last_day('day', 'month') }}

),

asked_dates as (

    {{ rebuild_dates() }}

),

needed_dates as (

    select run_date as as_of_date
    from definition
    union
    select month_ends.as_of_date
    from month_ends
    cross join definition
    where month_ends.months_back <= definition.training_month_ends
    union
    select as_of_date
    from asked_dates

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
            end as varchar
        ) as feature_definition
    from needed_dates
    cross join definition
    cross join stored_otherwise
    left join built_dates on needed_dates.as_of_date = built_dates.as_of_date
    left join asked_dates on needed_dates.as_of_date = asked_dates.as_of_date
    where needed_dates.as_of_date = definition.run_date
        or built_dates.as_of_date is null
        or asked_dates.as_of_date is not null

)

select * from dates_to_build
