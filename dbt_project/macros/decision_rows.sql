{#- The columns of a decision that its row_hash covers, in the order of retention_actions. -#}
{% macro decision_columns() %}
    {{ return([
        'action_id', 'customer_id', 'as_of_date', 'action', 'planned_action', 'action_label', 'channel',
        'priority', 'risk_tier', 'churn_probability', 'risk_percentile', 'customer_value', 'relative_risk',
        'effect_source', 'expected_cost', 'incremental_expected_value', 'currency', 'reason_1', 'reason_2',
        'reason_3', 'rationale', 'suppression_reason', 'arm', 'propensity', 'propensity_no_action',
        'valid_from', 'valid_to', 'pipeline_version', 'policy_version',
    ]) }}
{% endmacro %}

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

{#- Money as text with two decimals. -#}
{% macro money_text(amount) %}cast(cast({{ amount }} as decimal(18, 2)) as varchar){% endmacro %}
