{#-
    Faults of reason texts, as a select of seed_row and problem: a family that no feature has, a direction in which none of
    its features is cited, an unknown placeholder. `reason_texts` is the relation.
-#}
{% macro reason_text_faults(reason_texts) -%}
    {%- set families, cited = [], [] -%}
    {%- for feature in declared_reasons() -%}
        {%- do families.append(feature.family) -%}
        {%- for direction in [feature.upper_direction, feature.lower_direction] if direction -%}
            {%- do cited.append(feature.family ~ ' ' ~ direction) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set of_a_family = "family in ('" ~ families | unique | join("', '") ~ "')" %}
    select
        {{ seed_row_name('reason_texts') }} as seed_row,
        'no feature of customer_features.yml is of this family' as problem
    from {{ reason_texts }}
    where not {{ of_a_family }}
    union all
    select
        {{ seed_row_name('reason_texts') }} as seed_row,
        'no feature of this family is cited in this direction' as problem
    from {{ reason_texts }}
    where direction in ('{{ reason_directions() | join("', '") }}')
        and {{ of_a_family }}
        and family || ' ' || direction not in ('{{ cited | unique | join("', '") }}')
    union all
    select
        {{ seed_row_name('reason_texts') }} as seed_row,
        'reason_text may hold the placeholders {period} and {value} only' as problem
    from {{ reason_texts }}
    where position('{' in replace(replace(reason_text, '{period}', ''), '{value}', '')) > 0
{%- endmacro %}
