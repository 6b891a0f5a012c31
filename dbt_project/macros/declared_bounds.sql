{#-
    The columns of a seed or model as its YAML declares them: a list of {name, type, bounds}. The bounds of a column stand
    in its meta, and only there; models_ml reads the same files. The type of a seed's column is what its text must stand
    for. Empty while dbt parses.
-#}
{% macro declared_columns(node_id) %}
    {%- set declared = [] -%}
    {%- if execute -%}
        {%- for column in graph.nodes[node_id].columns.values() -%}
            {%- set bounds = column.config.meta or column.meta or {} -%}
            {%- do declared.append({
                'name': column.name, 'type': column.data_type or bounds.get('type'), 'bounds': bounds,
            }) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(declared) }}
{% endmacro %}

{#- The policy parameters, in order: the columns of int_policy_parameters. -#}
{% macro policy_parameters() %}
    {{ return(declared_columns('model.bayespilot.int_policy_parameters')) }}
{% endmacro %}

{#- Patterns of texts: a name, and a text without white space at its ends. -#}
{% macro text_patterns() %}
    {{ return({
        'name': '^[a-z][a-z0-9_]*$',
        'text': '(?s)^[^\\s\\x{00A0}](.*[^\\s\\x{00A0}])?$',
    }) }}
{% endmacro %}

{#-
    A condition that holds where `value` lies within its bounds. `number` is the same value as a number; it must be finite,
    an integer must be a whole one.
-#}
{% macro within_bounds(value, number, bounds, type) -%}
    {%- set conditions = [] -%}
    {%- if 'one_of' in bounds -%}
        {%- do conditions.append(value ~ " in ('" ~ bounds.one_of | join("', '") ~ "')") -%}
    {%- endif -%}
    {%- if 'length' in bounds -%}{%- do conditions.append("length(" ~ value ~ ") = " ~ bounds.length) -%}{%- endif -%}
    {%- if 'required' in bounds -%}{%- do conditions.append(matches(value, text_patterns()['text'])) -%}{%- endif -%}
    {%- if type == 'name' -%}{%- do conditions.append(matches(value, text_patterns()['name'])) -%}{%- endif -%}
    {%- if type == 'true_or_false' -%}
        {%- do conditions.append("try_cast(" ~ value ~ " as boolean) is not null") -%}
    {%- endif -%}
    {%- for key, sign in {'minimum': '>=', 'maximum': '<=', 'above': '>', 'below': '<'}.items() if key in bounds -%}
        {%- do conditions.append(number ~ " " ~ sign ~ " " ~ bounds[key]) -%}
    {%- endfor -%}
    {%- if type in ('integer', 'double', 'number') -%}
        {%- do conditions.append("abs(" ~ number ~ ") < 1e300") -%} {#- neither infinite nor NaN, which sorts last -#}
    {%- endif -%}
    {%- if type == 'integer' -%}{%- do conditions.append(number ~ " = floor(" ~ number ~ ")") -%}{%- endif -%}
    ({{ conditions | join(' and ') or 'true' }}
    {{- ' or ' ~ number ~ ' = ' ~ bounds.also if 'also' in bounds }}
    {{- ' or ' ~ value ~ ' is null' if 'optional' in bounds }})
{%- endmacro %}

{#- Bounds in words, as what a value must be. -#}
{% macro bounds_text(bounds, type) -%}
    {%- set parts = [] -%}
    {%- if 'one_of' in bounds -%}{%- do parts.append("one of " ~ bounds.one_of | join(", ")) -%}{%- endif -%}
    {%- if 'length' in bounds -%}{%- do parts.append(bounds.length ~ " letters") -%}{%- endif -%}
    {%- if 'required' in bounds -%}{%- do parts.append("a text without blanks at its ends") -%}{%- endif -%}
    {%- set kinds = {
        'name': 'a name of lower-case letters, digits and underscores that begins with a letter',
        'true_or_false': 'true or false', 'integer': 'a whole number', 'number': 'a finite number',
    } -%}
    {%- if type in kinds -%}{%- do parts.append(kinds[type]) -%}{%- endif -%}
    {%- for key, words in {
        'minimum': 'at least', 'maximum': 'at most', 'above': 'greater than', 'below': 'less than'
    }.items() if key in bounds -%}
        {%- do parts.append(words ~ " " ~ bounds[key]) -%}
    {%- endfor -%}
    {{ bounds.also ~ ', or ' if 'also' in bounds }}{{ 'empty, or ' if 'optional' in bounds }}{{ parts | join(' and ') }}
{%- endmacro %}
