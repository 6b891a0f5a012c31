{#- The columns of offers.csv that hold SQL, each with what it must yield. -#}
{% macro expression_columns() %}
    {{ return({'eligible_when': 'condition', 'contact_cost': 'number', 'incentive_cost': 'number'}) }}
{% endmacro %}

{#-
    The functions and operators that SQL in offers.csv may use: the same answer for the same row on every day, and nothing
    beyond the row.
-#}
{% macro allowed_functions() %}
    {{ return([
        '+', '-', '*', '/', '%', '//', '^', '**', '||', '~~', '!~~', '~~*', '!~~*',
        'abs', 'ceil', 'ceiling', 'exp', 'floor', 'greatest', 'least', 'ln', 'mod', 'pow', 'power', 'round', 'sign', 'sqrt',
        'contains', 'length', 'lower', 'starts_with', 'substr', 'substring', 'trim', 'upper',
        'if', 'ifnull', 'nullif',
        'date_part', 'date_trunc', 'day', 'month', 'year', 'to_days', 'to_months', 'to_years',
    ]) }}
{% endmacro %}

{#-
    What is wrong with the SQL in offers.csv, as a select of seed_row and problem: conditions and cost expressions become part
    of a query, so each must be one scalar expression over columns of customer_features. `offers` is a CTE.
-#}
{% macro expression_faults(offers) %}{{ return(adapter.dispatch('expression_faults', 'bayespilot')(offers)) }}{% endmacro %}

{#-
    DuckDB's own parser reads each expression, as it stands and in brackets, and its planner the types; nothing is executed.
    What is more than one expression has another shape than `select 1`.
-#}
{% macro default__expression_faults(offers) -%}
    select
        offer as seed_row,
        written_in || ' ' || problem as problem
    from (
        select
            offer,
            written_in,
            case
                when tree ->> '$.error_type' = 'parser' then 'cannot be read: ' || (tree ->> '$.error_message')
                when tree ->> '$.error' = 'true' or in_brackets ->> '$.error' = 'true' or {{ is_more_than_an_expression() }}
                    then 'must be one expression over columns of customer_features, without subqueries'
                when length(unknown_names) > 0 then 'names no feature: ' || unknown_names
                when length(other_functions) > 0
                    then 'calls what is not allowed: ' || other_functions
                        || '; allowed are {{ allowed_functions() | join(" ") }}'
                when {{ divides_by_a_column() }} then '{{ unguarded_division() }}'
                when {{ may_be_no_number() }} then '{{ unguarded_function() }}'
                else {{ type_problem() }}
            end as problem
        from (
            select
                offer,
                written_in,
                expression,
                tree,
                in_brackets,
                array_to_string(list_sort(list_distinct(list_filter(
                    list_transform(json_extract(tree, '$..column_names'), lambda name: array_to_string(name ->> '$[*]', '.')),
                    lambda name: lower(name) not in ('{{ feature_columns() | map(attribute="name") | join("', '") }}')
                ))), ', ') as unknown_names,
                array_to_string(list_sort(list_distinct(list_filter(
                    json_extract_string(tree, '$..function_name'),
                    lambda name: lower(name) not in ('{{ allowed_functions() | join("', '") }}')
                ))), ', ') as other_functions
            from (
                {% for column in expression_columns() -%}
                    select
                        offer,
                        '{{ column }}' as written_in,
                        {{ column }} as expression,
                        json_serialize_sql('select ' || {{ column }}) as tree,
                        json_serialize_sql('select (' || {{ column }} || chr(10) || ')') as in_brackets
                    from {{ offers }}
                    where trim({{ column }}) <> ''
                    {% if not loop.last %}union all{% endif %}
                {% endfor %}
            ) as trees
        ) as read_expressions
    ) as judged
    where problem is not null
{%- endmacro %}

{#- Whether the tree of a select holds more than one scalar expression of the row. -#}
{% macro is_more_than_an_expression() -%}
    json_array_length(tree, '$.statements') <> 1
    or json_array_length(tree, '$.statements[0].node.select_list') <> 1
    or json_merge_patch(tree -> '$.statements[0].node', '{"select_list": null}')
        <> json_merge_patch(json_serialize_sql('select 1') -> '$.statements[0].node', '{"select_list": null}')
    or tree ->> '$.statements[0].node.select_list[0].alias' <> ''
    or not list_has_all(
        [
            'BETWEEN', 'CASE', 'CAST', 'COLUMN_REF', 'COMPARISON', 'CONJUNCTION', 'CONSTANT', 'FUNCTION', 'OPERATOR',
            'TYPE'
        ],
        json_extract_string(tree, '$..class')
    )
{%- endmacro %}

{#- What the planner says of an expression over features of their declared types, or that it yields another type; else null. -#}
{% macro type_problem() -%}
    {%- set features -%}
        (select {% for column in feature_columns() -%}
            cast(null as {{ column.type }}) as {{ column.name }}{{ ', ' if not loop.last }}
        {%- endfor %}) as features
    {%- endset -%}
    case
        when json_serialize_plan('select (' || expression || chr(10) || ') from {{ features }}') ->> '$.error' = 'true'
            then 'cannot be evaluated: ' || split_part(
                json_serialize_plan('select (' || expression || chr(10) || ') from {{ features }}') ->> '$.error_message',
                chr(10), 1
            )
        {% for column, kind in expression_columns().items() -%}
        when written_in = '{{ column }}' and json_serialize_plan(
            'select {{ 'bool_and' if kind == 'condition' else 'abs' }}((' || expression || chr(10) || ')) from {{ features }}'
        ) ->> '$.error' = 'true' then 'must yield {{ 'true or false' if kind == 'condition' else 'a number' }}'
        {% endfor -%}
    end
{%- endmacro %}

{#- The columns of customer_features, with their types. -#}
{% macro feature_columns() %}{{ return(declared_columns('model.bayespilot.customer_features')) }}{% endmacro %}

{#-
    Spark has no function that reads SQL, so the macro asks its parser and planner of each expression while the model is
    compiled.
-#}
{% macro spark__expression_faults(offers) -%}
    {%- set seed_rows = ref('offers') -%}
    {%- set features = [] -%}
    {%- for column in feature_columns() -%}{%- do features.append([column.name, column.type]) -%}{%- endfor -%}
    {%- set stored = load_relation(seed_rows) if execute else none -%}
    select cast(null as string) as seed_row, cast(null as string) as problem
    where false
    {%- for row in (run_query("select offer, " ~ expression_columns() | join(', ') ~ " from " ~ stored).rows if stored else []) %}
        {%- for column, kind in expression_columns().items() if (row[column] or '') | trim %}
            {%- set problem = adapter.expression_problem(row[column], kind, features, allowed_functions()) -%}
            {%- if problem %}
    union all
    select
        {{ sql_text(row['offer']) }} as seed_row,
        {{ sql_text(column ~ ' ' ~ problem) }} as problem
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}
