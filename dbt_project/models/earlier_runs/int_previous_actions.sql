-- Decisions of earlier runs. The date of the run itself is left out, so that a second run of the date starts from the
-- same state.
{% set columns = {
    'action_id': 'varchar', 'customer_id': 'varchar', 'as_of_date': 'date', 'action': 'varchar',
    'planned_action': 'varchar', 'channel': 'varchar', 'risk_tier': 'varchar', 'churn_probability': 'double',
    'customer_value': 'double', 'relative_risk': 'double', 'effect_source': 'varchar', 'expected_cost': 'double',
    'incremental_expected_value': 'double', 'arm': 'varchar', 'propensity': 'double',
    'propensity_no_action': 'double', 'valid_from': 'date', 'valid_to': 'date', 'pipeline_version': 'varchar',
    'policy_version': 'varchar',
} -%}
{%- for signal in reason_signals() -%}{%- do columns.update({'signal_' ~ signal: 'double'}) -%}{%- endfor -%}

with run as (

    select * from {{ ref('int_run') }}

),

history as (

    select * from {{ earlier_runs('retention_actions_history', columns) }} as earlier_runs

),

previous as (

    select history.*
    from history
    inner join run on history.as_of_date < run.as_of_date

)

select * from previous
