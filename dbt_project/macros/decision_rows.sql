{#- The columns of a decision and their types, in the order of retention_actions. -#}
{% macro decision_types() %}
    {{ return({
        'action_id': 'string', 'customer_id': 'string', 'as_of_date': 'date', 'action': 'string',
        'planned_action': 'string', 'action_label': 'string', 'channel': 'string', 'priority': 'integer',
        'risk_tier': 'string', 'churn_probability': 'double', 'risk_percentile': 'double',
        'customer_value': 'double', 'relative_risk': 'double', 'effect_source': 'string',
        'expected_cost': 'double', 'incremental_expected_value': 'double', 'planned_cost': 'double',
        'planned_value': 'double', 'currency': 'string',
        'reason_1': 'string', 'reason_2': 'string', 'reason_3': 'string', 'rationale': 'string',
        'suppression_reason': 'string', 'arm': 'string', 'propensity': 'double',
        'propensity_no_action': 'double', 'valid_from': 'date', 'valid_to': 'date',
        'pipeline_version': 'string', 'policy_version': 'string',
    }) }}
{% endmacro %}

{#- Their names. -#}
{% macro decision_columns() %}{{ return(decision_types().keys() | list) }}{% endmacro %}

{#-
    A hash of a row's columns: two rows with equal hashes say the same, on any engine. Engines write doubles differently;
    9 decimals of one are the same text everywhere.

    columns: a mapping of column name to SQL type.
-#}
{% macro row_hash(columns) -%}
    cast(md5(
        {%- for column, type in columns.items() %}
        coalesce(cast({{ 'cast(' ~ column ~ ' as decimal(28, 9))' if type == 'double' else column }} as string), 'null')
        {%- if not loop.last %} || '|' ||{% endif %}
        {%- endfor %}
    ) as string)
{%- endmacro %}

{#- The moment at which the run started, in UTC. -#}
{% macro run_time() %}cast('{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S.%f") }}' as timestamp){% endmacro %}
