{#- The columns of a decision and their types, in the order of retention_actions. -#}
{% macro decision_types() %}
    {{ return({
        'action_id': 'varchar', 'customer_id': 'varchar', 'as_of_date': 'date', 'action': 'varchar',
        'planned_action': 'varchar', 'action_label': 'varchar', 'channel': 'varchar', 'priority': 'integer',
        'risk_tier': 'varchar', 'churn_probability': 'double', 'risk_percentile': 'double',
        'customer_value': 'double', 'relative_risk': 'double', 'effect_source': 'varchar',
        'expected_cost': 'double', 'incremental_expected_value': 'double', 'planned_cost': 'double',
        'planned_value': 'double', 'currency': 'varchar',
        'reason_1': 'varchar', 'reason_2': 'varchar', 'reason_3': 'varchar', 'rationale': 'varchar',
        'suppression_reason': 'varchar', 'arm': 'varchar', 'propensity': 'double',
        'propensity_no_action': 'double', 'valid_from': 'date', 'valid_to': 'date',
        'pipeline_version': 'varchar', 'policy_version': 'varchar',
    }) }}
{% endmacro %}

{#- Their names; the row_hash of a decision covers them. -#}
{% macro decision_columns() %}{{ return(decision_types().keys() | list) }}{% endmacro %}

{#- A hash of a row's columns: two rows with equal hashes say the same. -#}
{% macro row_hash(columns) -%}
    cast(md5(
        {%- for column in columns %}
        coalesce(cast({{ column }} as varchar), 'null')
        {%- if not loop.last %} || '|' ||{% endif %}
        {%- endfor %}
    ) as varchar)
{%- endmacro %}

{#- The moment at which the run started, in UTC. -#}
{% macro run_time() %}cast('{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S.%f") }}' as timestamp){% endmacro %}
