{{ config(materialized='table') }}

-- Types and a contract for the log of deployments, which int_pipeline_deployments returns from Python.
with logged_deployments as (

    select * from {{ ref('int_pipeline_deployments') }}

),

typed as (

    select
        cast(event_number as integer) as event_number,
        cast(happened_at as timestamp) as happened_at,
        cast(event as string) as event,
        cast(training_run as integer) as training_run,
        cast(pipeline_version as string) as pipeline_version,
        cast(previous_version as string) as previous_version,
        cast(deployed_version as string) as deployed_version,
        cast(probability_better as double) as probability_better,
        cast(failed_guardrails as string) as failed_guardrails,
        cast(guardrails as string) as guardrails,
        cast(reason as string) as reason
    from logged_deployments

)

select * from typed
