{{ config(materialized='table') }}

-- Built after every other model: publishing takes the tables only of a run that came to its end.
{% for last in [
    'erased_actions', 'int_calendar_days', 'int_dates_of_lost_input', 'int_final_months', 'int_served_expressions',
    'offer_effect_covariances_history', 'offer_effects_history', 'pipeline_candidates', 'pipeline_deployments',
    'retention_actions', 'retention_actions_deliverable', 'retention_actions_sync',
    'rpt_contacts', 'rpt_effect_evidence', 'rpt_history_changes', 'rpt_planned_realised', 'rpt_policy_value',
    'rpt_retraining_advice', 'rpt_run_volume', 'rpt_serving',
] -%}
    {%- do ref(last) -%}
{%- endfor -%}

with run as (

    select * from {{ ref('int_run') }}

),

finished as (

    select
        cast(as_of_date as date) as as_of_date,
        cast(dbt_invocation_id as string) as dbt_invocation_id
    from run

)

select * from finished
