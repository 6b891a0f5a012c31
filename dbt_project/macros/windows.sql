{#- The observation windows of every windowed feature, in days. -#}
{% macro observation_windows() %}{{ return([30, 90, 180, 365]) }}{% endmacro %}

{#- One column per window: the sum of a segment's value over the segments that lie in the window. -#}
{% macro sum_over_windows(value, name, type='bigint') -%}
    {%- for days in observation_windows() -%}
        cast(sum({{ value }} * in_last_{{ days }}_days) as {{ type }}) as {{ name }}_last_{{ days }}_days
        {%- if not loop.last %},
        {% endif -%}
    {%- endfor %}
{%- endmacro %}

{#- The account events that features count, sum, and date; see int_account_events. -#}
{% macro account_event_counts() %}
    {{ return([
        'plan_changed', 'price_increased', 'invoice_due', 'payment_late', 'late_payment_settled',
        'ticket_opened', 'ticket_resolved', 'poor_rating', 'contacted', 'offer_accepted',
    ]) }}
{% endmacro %}

{% macro account_event_amounts() %}{{ return(['price_increased', 'invoice_paid']) }}{% endmacro %}

{% macro account_event_recencies() %}{{ return(['payment_late', 'ticket_opened', 'contacted']) }}{% endmacro %}

{#- Windowed counts as features: a customer without the fact has 0. -#}
{% macro windowed_count(value, name, windows=none, type='integer') -%}
    {%- for days in windows or observation_windows() -%}
        cast(coalesce({{ value }}_last_{{ days }}_days, 0) as {{ type }}) as {{ name }}_last_{{ days }}_days
        {%- if not loop.last %},
        {% endif -%}
    {%- endfor %}
{%- endmacro %}

{#- Windowed money as features, from whole cents. -#}
{% macro windowed_money(cents, name, windows=none) -%}
    {%- for days in windows or observation_windows() -%}
        cast(coalesce({{ cents }}_last_{{ days }}_days, 0) / 100 as double) as {{ name }}_last_{{ days }}_days
        {%- if not loop.last %},
        {% endif -%}
    {%- endfor %}
{%- endmacro %}

{#- Days since the last event of a kind, at `at_risk.as_of_date`; null when it lies before the longest window. -#}
{% macro recency(last_on, name) -%}
    {%- set days = days_between(last_on, 'at_risk.as_of_date') -%}
    case when {{ days }} < {{ observation_windows() | max }} then {{ days }} end as {{ name }}
{%- endmacro %}

{#- Whether a day lies on the grid of training dates: days since 1970-01-01 that the step divides. -#}
{% macro is_training_date(day, step_days) -%}
    mod({{ days_between("cast('1970-01-01' as date)", day) }}, {{ step_days }}) = 0
{%- endmacro %}
