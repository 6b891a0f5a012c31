{{ config(materialized='table') }}

{% set other_date = error_text(
    "churn_scores holds the scores of ", "scores.as_of_date", ", but the run decides for ", "run.as_of_date",
    "; run dbt build (all steps) for that date, or pass the --vars as_of_date of the scores"
) -%}

{% set build = "bayespilot run --source " ~ var('source') -%}
{% set other_pipeline = error_text(
    "churn_scores are those of pipeline ", "scores.pipeline_version", ", but deployed_pipeline is ",
    "deployed.pipeline_version", "; next: " ~ build
) -%}
{% set other_churn = error_text(
    "the churn probabilities are for ", "deployed.churn_definition", " within ", "deployed.horizon_days",
    " days, but policy.csv states ", "parameters.churn_definition", " within ", "parameters.horizon_days",
    " days; next: " ~ build ~ ", which trains anew"
) -%}

with scores as (

    select * from {{ ref('churn_scores') }}

),

features as (

    select * from {{ rows_of_run('customer_features') }}

),

signals as (

    select * from {{ rows_of_run('int_reason_signals') }}

),

eligibility as (

    select * from {{ rows_of_run('int_offer_eligibility') }}

),

costs as (

    select * from {{ rows_of_run('int_offer_costs') }}

),

renewals as (

    select * from {{ rows_of_run('int_renewals') }}

),

episodes as (

    select
        customer_id,
        max(episode_number) as last_episode
    from {{ ref('int_previous_episodes') }}
    group by customer_id

),

suppressions as (

    select * from {{ ref('int_suppressions') }}

),

run as (

    select * from {{ ref('int_run') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

deployed as (

    select * from {{ ref('deployed_pipeline') }}

),

at_risk as (

    select
        scores.*,
        {{ bits_without('eligibility.offers_allowed', 'coalesce(suppressions.locked_offers, 0)') }}
            as offers_allowed,
        eligibility.has_consent,
        suppressions.suppression_reason,
        features.monthly_revenue,
        renewals.renewal_interval_days,
        renewals.days_to_renewal,
        {% for signal in reason_signals() -%}
            signals.signal_{{ signal }},
        {% endfor -%}
        {% for column in cost_columns() -%}
            costs.{{ column }},
        {% endfor -%}
        case
            when scores.as_of_date <> run.as_of_date then {{ raise_error(other_date) }}
            when scores.pipeline_version <> deployed.pipeline_version then {{ raise_error(other_pipeline) }}
            when deployed.horizon_days <> parameters.horizon_days
                or deployed.churn_definition <> parameters.churn_definition then {{ raise_error(other_churn) }}
            else run.as_of_date
        end as run_date,
        parameters.randomisation_salt,
        episodes.last_episode
    from scores
    cross join run
    cross join parameters
    left join deployed on true -- one row; none in a build with --empty
    left join features
        on scores.customer_id = features.customer_id and scores.as_of_date = features.as_of_date
    left join signals
        on scores.customer_id = signals.customer_id and scores.as_of_date = signals.as_of_date
    left join eligibility
        on scores.customer_id = eligibility.customer_id and scores.as_of_date = eligibility.as_of_date
    -- read below for every offer of the seed, which is empty before the first build
    left join costs -- noqa: ST11
        on scores.customer_id = costs.customer_id and scores.as_of_date = costs.as_of_date
    left join renewals
        on scores.customer_id = renewals.customer_id and scores.as_of_date = renewals.as_of_date
    left join episodes on scores.customer_id = episodes.customer_id
    left join suppressions on scores.customer_id = suppressions.customer_id

),

candidates as (

    select
        cast(customer_id as string) as customer_id,
        cast(run_date as date) as as_of_date,
        cast(churn_probability as double) as churn_probability,
        cast(monthly_revenue as double) as monthly_revenue,
        cast(renewal_interval_days as integer) as renewal_interval_days,
        cast(days_to_renewal as integer) as days_to_renewal,
        {% for signal in reason_signals() -%}
            cast(signal_{{ signal }} as double) as signal_{{ signal }},
        {% endfor -%}
        {% for column in cost_columns() -%}
            cast({{ column }} as double) as {{ column }},
        {% endfor -%}
        cast(offers_allowed as bigint) as offers_allowed,
        cast(
            {{ first_suppression() }} as string
        ) as suppression_reason,
        {% for column, expression in draw_expressions().items() -%}
            {{ expression }} as {{ column }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from at_risk

)

select * from candidates
