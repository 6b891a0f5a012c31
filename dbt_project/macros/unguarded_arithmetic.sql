{#-
    Whether the tree of a select divides by what holds a column and is no nullif: a divisor of 0 yields an infinity here, for
    which a condition may hold, and stops the run on Spark.
-#}
{% macro divides_by_a_column() -%}
    length(list_filter(
        json_extract(tree, '$..*'),
        lambda node: lower(node ->> '$.function_name') in ('/', '//', '%', 'mod')
            and contains(node ->> '$.arguments[1].expression', '"COLUMN_REF"')
            and lower(coalesce(node ->> '$.arguments[1].expression.function_name', '')) <> 'nullif'
    )) > 0
{%- endmacro %}

{#- What is wrong with such a division, in words; the adapter for Spark says the same. -#}
{% macro unguarded_division() -%}
    divides by a column, which may be 0: write nullif(divisor, 0), and around a cost coalesce(cost, 0)
{%- endmacro %}

{#-
    Whether the tree of a select takes the logarithm or root of what holds a column, or raises it to another power than a
    whole one, without a lower bound: of 0 or less these are an infinity, no number or null, by engine.
-#}
{% macro may_be_no_number() -%}
    length(list_filter(
        json_extract(tree, '$..*'),
        lambda node: contains(node ->> '$.arguments[0].expression', '"COLUMN_REF"')
            and (
                lower(node ->> '$.function_name') in ('ln', 'sqrt')
                or (
                    lower(node ->> '$.function_name') in ('pow', 'power', '^', '**')
                    and not regexp_full_match(
                        coalesce(node ->> '$.arguments[1].expression.literal.text', ''), '[0-9]+(\.0*)?'
                    )
                )
            )
            and not (
                lower(coalesce(node ->> '$.arguments[0].expression.function_name', '')) = 'greatest'
                and coalesce(
                    try_cast(node ->> '$.arguments[0].expression.arguments[1].expression.literal.text' as double), -1
                ) >= case when lower(node ->> '$.function_name') = 'sqrt' then 0 else 1e-9 end
            )
    )) > 0
{%- endmacro %}

{#- What is wrong with such a call, in words; the adapter for Spark says the same. -#}
{% macro unguarded_function() -%}
    takes ln, sqrt or a power of a column, which may be 0 or less: write greatest(value, 1), with 0 at least for sqrt
{%- endmacro %}
