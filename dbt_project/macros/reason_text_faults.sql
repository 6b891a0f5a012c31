{#-
    Faults of reason texts, as a select of seed_row and problem: a family that no feature has, a direction in which none of
    its features is cited, an unknown placeholder. `reason_texts` and `feature_reasons` are the relations.
-#}
{% macro reason_text_faults(reason_texts, feature_reasons) -%}
    select
        {{ seed_row_name('reason_texts') }} as seed_row,
        'no feature of customer_features.yml is of this family' as problem
    from {{ reason_texts }}
    where family not in (select family from {{ feature_reasons }})
    union all
    select
        {{ seed_row_name('reason_texts') }} as seed_row,
        'no feature of this family is cited in this direction' as problem
    from {{ reason_texts }}
    where direction in ('{{ reason_directions() | join("', '") }}')
        and family in (select family from {{ feature_reasons }})
        and family || ' ' || direction not in (
            select family || ' ' || upper_direction from {{ feature_reasons }} where upper_direction is not null
            union all
            select family || ' ' || lower_direction from {{ feature_reasons }} where lower_direction is not null
        )
    union all
    select
        {{ seed_row_name('reason_texts') }} as seed_row,
        'reason_text may hold the placeholders {period} and {value} only' as problem
    from {{ reason_texts }}
    where position('{' in replace(replace(reason_text, '{period}', ''), '{value}', '')) > 0
{%- endmacro %}
