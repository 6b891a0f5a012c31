{#-
    The columns of a seed or model as its YAML declares them: a list of {name, type, bounds}. The bounds of a column stand
    in its meta, and only there; models_ml reads the same files. Empty while dbt parses.
-#}
{% macro declared_columns(node_id) %}
    {%- set declared = [] -%}
    {%- if execute -%}
        {%- for column in graph.nodes[node_id].columns.values() -%}
            {%- do declared.append({
                'name': column.name, 'type': column.data_type, 'bounds': column.config.meta or column.meta or {},
            }) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(declared) }}
{% endmacro %}

{#- The policy parameters, in order: the columns of int_policy_parameters. -#}
{% macro policy_parameters() %}
    {{ return(declared_columns('model.bayespilot.int_policy_parameters')) }}
{% endmacro %}

{#-
    A condition that holds where `value` lies within its bounds. `number` is the same value as a number; an integer must be
    a whole one.
-#}
{% macro within_bounds(value, number, bounds, type) -%}
    {%- set conditions = [] -%}
    {%- if 'one_of' in bounds -%}
        {%- do conditions.append(value ~ " in ('" ~ bounds.one_of | join("', '") ~ "')") -%}
    {%- endif -%}
    {%- if 'length' in bounds -%}{%- do conditions.append("length(" ~ value ~ ") = " ~ bounds.length) -%}{%- endif -%}
    {%- if 'required' in bounds -%}{%- do conditions.append("length(" ~ value ~ ") > 0") -%}{%- endif -%}
    {%- for key, sign in {'minimum': '>=', 'maximum': '<=', 'above': '>', 'below': '<'}.items() if key in bounds -%}
        {%- do conditions.append(number ~ " " ~ sign ~ " " ~ bounds[key]) -%}
    {%- endfor -%}
    {%- if type == 'integer' -%}{%- do conditions.append(number ~ " = floor(" ~ number ~ ")") -%}{%- endif -%}
    ({{ conditions | join(' and ') or 'true' }}{{ ' or ' ~ number ~ ' = ' ~ bounds.also if 'also' in bounds }})
{%- endmacro %}

{#- Bounds in words, as what a value must be. -#}
{% macro bounds_text(bounds, type) -%}
    {%- set parts = [] -%}
    {%- if 'one_of' in bounds -%}{%- do parts.append("one of " ~ bounds.one_of | join(", ")) -%}{%- endif -%}
    {%- if 'length' in bounds -%}{%- do parts.append(bounds.length ~ " letters") -%}{%- endif -%}
    {%- if 'required' in bounds -%}{%- do parts.append("a text") -%}{%- endif -%}
    {%- if type == 'integer' -%}{%- do parts.append("a whole number") -%}{%- endif -%}
    {%- for key, words in {
        'minimum': 'at least', 'maximum': 'at most', 'above': 'greater than', 'below': 'less than'
    }.items() if key in bounds -%}
        {%- do parts.append(words ~ " " ~ bounds[key]) -%}
    {%- endfor -%}
    {{ bounds.also ~ ', or ' if 'also' in bounds }}{{ parts | join(' and ') }}
{%- endmacro %}
