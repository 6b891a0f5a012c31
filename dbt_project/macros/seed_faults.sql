{#- The column or columns that identify a row of each seed. -#}
{% macro seed_keys() %}
    {{ return({
        'offers': ['offer'], 'channels': ['channel'], 'offer_effect_priors': ['offer', 'signal'],
        'activity_map': ['activity_type', 'meaning'], 'reason_texts': ['family', 'direction'], 'policy': ['parameter'],
    }) }}
{% endmacro %}

{#- The key of a seed row as text. -#}
{% macro seed_row_name(seed) -%}
    {%- for column in seed_keys()[seed] -%}
        coalesce({{ column }}, '(no {{ column }})'){{ " || ', ' || " if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{#-
    Faults that a row of a seed shows by itself, as a select of seed, seed_row and problem: a value that is missing or
    outside the bounds of its column, a key that stands in more than one row, and a file without rows where one is needed
    (an --empty build has none). `relation` is a CTE with its rows.
-#}
{% macro declared_faults(seed, relation) -%}
    {%- for column in declared_columns('seed.bayespilot.' ~ seed) if column.bounds %}
    select
        '{{ seed }}' as seed,
        {{ seed_row_name(seed) }} as seed_row,
        case
            when trim(coalesce({{ column.name }}, '')) = '' then '{{ column.name }} is missing'
            when {{ column.name }} <> trim({{ column.name }})
                then '{{ column.name }} "' || {{ column.name }} || '" must be {{ bounds_text(column.bounds, column.type) }}'
            else '{{ column.name }} ' || {{ column.name }} || ' must be {{ bounds_text(column.bounds, column.type) }}'
        end as problem
    from {{ relation }}
    where not coalesce({{ within_bounds(
        column.name, 'try_cast(' ~ column.name ~ ' as double)', column.bounds, column.type
    ) }}, false)
    union all
    {%- endfor %}
    {%- if seed != 'reason_texts' and not flags.EMPTY %}
    select
        '{{ seed }}' as seed,
        'no row' as seed_row,
        'the file holds no rows' as problem
    from {{ relation }}
    having count(*) = 0
    union all
    {%- endif %}
    select
        '{{ seed }}' as seed,
        {{ seed_row_name(seed) }} as seed_row,
        'the key stands in more than one row' as problem
    from {{ relation }}
    group by {{ seed_keys()[seed] | join(', ') }}
    having count(*) > 1
{%- endmacro %}
