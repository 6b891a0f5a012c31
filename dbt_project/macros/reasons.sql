{#-
    Directions of each kind of measure: by default, and also where customer_features.yml states them.

    high, low: above or below the median of all customers at risk. present: greater than 0; a known value of days since an
    event or of a category. rising, falling: a ratio above or below 1, its usual value.
-#}
{% macro reason_measures() %}
    {{ return({
        'count': {'default': ['high', 'low'], 'also': ['present']},
        'amount': {'default': ['high', 'low'], 'also': ['present']},
        'share': {'default': ['high', 'low'], 'also': ['present']},
        'recency': {'default': ['high', 'low'], 'also': ['present']},
        'trend': {'default': ['rising', 'falling'], 'also': []},
        'category': {'default': ['present'], 'also': []},
        'flag': {'default': ['present'], 'also': []},
    }) }}
{% endmacro %}

{#- The directions that a reason can have. -#}
{% macro reason_directions() %}{{ return(['high', 'low', 'present', 'rising', 'falling']) }}{% endmacro %}

{#- What is wrong with the `reason` of a feature in customer_features.yml, in words; empty where nothing is. -#}
{% macro reason_fault(reason) %}
    {%- set measures = reason_measures() -%}
    {%- set fault = namespace(words='') -%}
    {%- for key in ['family', 'measure', 'words'] if key not in reason -%}
        {%- set fault.words = fault.words or 'reason states no ' ~ key -%}
    {%- endfor -%}
    {%- if not fault.words and reason.measure not in measures -%}
        {%- set fault.words = 'measure ' ~ reason.measure ~ ' must be one of ' ~ measures.keys() | join(', ') -%}
    {%- elif not fault.words and 'directions' in reason -%}
        {%- set possible = measures[reason.measure].default + measures[reason.measure].also -%}
        {%- set above = reason.directions | select('in', ['high', 'present', 'rising']) | list -%}
        {%- if not reason.directions or reason.directions | reject('in', possible) | list -%}
            {%- set fault.words = 'directions of a ' ~ reason.measure ~ ' must be among ' ~ possible | join(', ') -%}
        {%- elif above | length > 1 -%}
            {%- set fault.words = 'high and present exclude each other' -%}
        {%- endif -%}
    {%- endif -%}
    {{ return(fault.words) }}
{% endmacro %}

{#-
    How features are cited as reasons, as customer_features.yml declares them: a list of {feature, family, measure, words,
    unit, period, upper_direction, lower_direction}. A direction is none where values on that side are no reason. A
    feature without a sound `reason` stops the run. Empty while dbt parses.
-#}
{% macro declared_reasons() %}
    {%- set declared = [] -%}
    {%- set faults = [] -%}
    {%- for column in declared_columns('model.bayespilot.customer_features') if 'role' in column.bounds -%}
        {%- set reason = column.bounds.get('reason', {}) -%}
        {%- set fault = reason_fault(reason) -%}
        {%- if fault -%}
            {%- do faults.append(column.name ~ ': ' ~ fault) -%}
        {%- else -%}
            {%- set directions = reason.get('directions', reason_measures()[reason.measure].default) -%}
            {%- set window = modules.re.search('_last_([0-9]+)_', column.name) -%}
            {%- set longest = observation_windows() | max if reason.measure == 'recency' -%}
            {%- set days = window.group(1) if window else longest -%}
            {%- do declared.append({
                'feature': column.name, 'family': reason.family, 'measure': reason.measure, 'words': reason.words,
                'unit': reason.get('unit', ''),
                'period': 'in the last ' ~ days ~ ' days' if days else '',
                'upper_direction': directions | select('in', ['high', 'present', 'rising']) | first | default(none),
                'lower_direction': directions | select('in', ['low', 'falling']) | first | default(none),
            }) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if faults -%}
        {{ exceptions.raise_compiler_error(
            "customer_features.yml does not say how " ~ faults | length ~ " feature(s) are cited as reasons.\n  "
            ~ faults[:5] | join("\n  ") ~ "\n  next: correct meta.reason of these columns, then dbt build") }}
    {%- endif -%}
    {{ return(declared) }}
{% endmacro %}

{#- A feature as a number: its value, 1 or 0 for a flag, null for a category. -#}
{% macro reason_value(feature) -%}
    {%- if feature.measure == 'category' -%} cast(null as double)
    {%- elif feature.measure == 'flag' -%} case when {{ feature.feature }} then 1.0 when not {{ feature.feature }} then 0.0 end
    {%- else -%} cast({{ feature.feature }} as double)
    {%- endif -%}
{%- endmacro %}

{#-
    The text of a reason where reason_texts.csv holds none, from the columns of `relation`; {value} stands for the value
    of the customer.
-#}
{% macro reason_fallback(relation) -%}
    case
        when {{ relation }}.measure = 'flag' then {{ relation }}.words
        else
            {{ relation }}.words
            || case
                when {{ relation }}.measure = 'recency' or {{ relation }}.period = '' then ''
                else ' {period}'
            end
            || ': {value}'
            || case {{ relation }}.unit when '' then '' when 'currency' then ' {currency}' else ' ' || {{ relation }}.unit end
            || case {{ relation }}.direction
                when 'high' then ', above the median of all customers'
                when 'low' then ', below the median of all customers'
                else ''
            end
    end
{%- endmacro %}

{#- The value of a customer in a reason, from columns measure, feature_value and category. -#}
{% macro reason_value_text() -%}
    case measure
        when 'category' then replace(category, '_', ' ')
        when 'count' then cast(cast(round(feature_value) as bigint) as string)
        when 'recency' then cast(cast(round(feature_value) as bigint) as string)
        when 'share' then {{ percent_text('feature_value') }}
        else {{ money_text('feature_value') }}
    end
{%- endmacro %}

{#- The text of every feature and direction that may be a reason, a select over feature_reasons, reason_texts and parameters. -#}
{% macro reason_templates() -%}
    select
        directions.feature,
        directions.direction,
        directions.measure,
        coalesce(reason_texts.reason_text, directions.feature) as wording,
        replace(
            coalesce(reason_texts.reason_text, {{ reason_fallback('directions') }}), '{period}', directions.period
        ) as template,
        parameters.currency
    from (
        {% for side in ['upper', 'lower'] -%}
            select
                feature_reasons.*,
                feature_reasons.{{ side }}_direction as direction
            from feature_reasons
            where feature_reasons.{{ side }}_direction is not null
            {% if not loop.last %}union all{% endif %}
        {% endfor %}
    ) as directions
    cross join parameters
    left join reason_texts
        on directions.family = reason_texts.family and directions.direction = reason_texts.direction
{%- endmacro %}

{#- The text of a customer's reason, from columns template, currency, measure, feature_value and category. -#}
{% macro worded_reason() -%}
    trim(replace(
        replace(replace(template, '{value}', {{ reason_value_text() }}), '{currency}', currency), '  ', ' '
    ))
{%- endmacro %}
