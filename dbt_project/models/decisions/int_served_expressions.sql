{{ config(materialized='table') }}

-- The SQL that the service evaluates for single customers: the text of the expressions that the models contain, as
-- DuckDB reads it, whatever engine built the warehouse.
-- depends_on: {{ ref('int_offers') }}
{% set expressions = [] -%}
{%- set signals = signal_expressions(use_column()) -%}
{%- for signal in signals -%}
    {%- do expressions.append(['customer', 'signal_' ~ signal, 'double', signals[signal]]) -%}
{%- endfor -%}
{%- for column, expression in renewal_expressions().items() -%}
    {%- do expressions.append(['customer', column, 'integer', expression]) -%}
{%- endfor -%}
{%- for offer in eligible_offers() -%}
    {%- for cost in ['contact_cost', 'incentive_cost'] -%}
        {%- do expressions.append(['customer', cost ~ '_' ~ offer.offer_position, 'double', offer[cost]]) -%}
    {%- endfor -%}
{%- endfor -%}
{%- do expressions.append(['customer', 'conditions_that_hold', 'bigint', conditions_that_hold()]) -%}
{%- for column, expression in draw_expressions(default__stable_draw).items() -%}
    {%- do expressions.append(['customer', column, 'double', expression]) -%}
{%- endfor -%}
{%- do expressions.append(['suppression', 'suppression_reason', 'string', first_suppression()]) -%}
{%- do expressions.append(['reason', 'reason_text', 'string', worded_reason()]) -%}
{%- for signal in reason_signals() -%}
    {%- do expressions.append(
        ['reduction', 'reduction_' ~ signal, 'double', shown_reduction('signal_' ~ signal, 'reduction_' ~ signal)]
    ) -%}
{%- endfor -%}
{%- do expressions.append(['rationale', 'rationale', 'string', rationale()]) -%}
{%- for column in declared_columns('model.bayespilot.customer_features') -%}
    {%- for bound in ['minimum', 'maximum'] if bound in column.bounds -%}
        {%- do expressions.append([bound, column.name, 'double', column.bounds[bound] | string]) -%}
    {%- endfor -%}
{%- endfor -%}
{%- do expressions.append(['select', 'reason_templates', 'table', reason_templates()]) -%}
{%- do expressions.append(['select', 'offer_reductions', 'table', offer_reductions()]) -%}

with expressions as (

    {% for purpose, name, data_type, expression in expressions -%}
        select
            cast('{{ purpose }}' as string) as purpose,
            cast('{{ name }}' as string) as name,
            cast('{{ data_type }}' as string) as data_type,
            cast({{ sql_text(expression) }} as string) as expression
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

)

select * from expressions
