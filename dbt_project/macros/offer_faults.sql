{#-
    Faults of offers beyond the bounds of their columns, as a select of seed_row and problem. `offers` and `channels` are
    CTEs with the rows of the seeds.
-#}
{% macro offer_faults(offers, channels) -%}
    {{ expression_faults(offers) }}
    {% for column in ['contact_cost', 'incentive_cost'] -%}
    union all
    select
        offer as seed_row,
        '{{ column }} ' || {{ column }} || ' must be finite and at least 0' as problem
    from {{ offers }}
    where try_cast({{ column }} as double) is not null
        and not (try_cast({{ column }} as double) >= 0 and try_cast({{ column }} as double) < 1e300)
    {% endfor -%}
    union all
    select
        {{ offers }}.offer as seed_row,
        'channel ' || {{ offers }}.channel || ' is not in channels.csv' as problem
    from {{ offers }}
    left join {{ channels }} on {{ offers }}.channel = {{ channels }}.channel
    where {{ offers }}.channel is not null and {{ channels }}.channel is null
    union all
    select
        offer as seed_row,
        'no_action is reserved for leaving a customer alone' as problem
    from {{ offers }}
    where offer = 'no_action'
    union all
    select
        'row 20' as seed_row,
        'at most 19 offers can be randomised' as problem
    from {{ offers }}
    having count(*) > 19
{%- endmacro %}

{#- Faults of the variable channel_capacity, as a select of seed_row and problem; `channels` is a CTE with the rows. -#}
{% macro channel_override_faults(channels) -%}
    select
        chosen.channel as seed_row,
        'the variable channel_capacity names a channel that channels.csv does not hold' as problem
    from ({{ channel_overrides() }}) as chosen
    left join {{ channels }} on chosen.channel = {{ channels }}.channel
    where {{ channels }}.channel is null
{%- endmacro %}
