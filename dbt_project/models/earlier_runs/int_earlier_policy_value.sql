-- What earlier runs have said of finished months.
{% set columns = {
    'period': 'string', 'method': 'string', 'estimand': 'string', 'first_month': 'date', 'last_month':
    'date', 'months': 'integer', 'assignment': 'string', 'customers': 'bigint', 'episodes': 'bigint',
    'controls': 'bigint', 'treated_leavers': 'bigint', 'control_leavers': 'bigint', 'contaminated_controls':
    'bigint', 'realised_value': 'double', 'value_to_come': 'double', 'value': 'double', 'value_per_month':
    'double', 'value_per_unit': 'double', 'standard_error': 'double', 'value_low': 'double', 'value_high':
    'double', 'value_low_every_look': 'double', 'value_high_every_look': 'double', 'is_distinguishable':
    'boolean', 'verdict': 'string', 'months_needed': 'integer', 'reason': 'string', 'planned_information':
    'double', 'revision': 'integer', 'revision_reason': 'string',
} -%}

with policy_value as (

    select * from {{ earlier_runs('policy_value_history', columns) }} as earlier_runs

)

select * from policy_value
