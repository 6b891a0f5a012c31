{#-
    Stops the run before its first node when a seed file of this project does not begin with a line of its column names,
    separated by commas, as a spreadsheet may write it. Only files that the run loads are read. Called by on-run-start.
-#}
{% macro check_seed_files() %}
    {%- if execute -%}
        {%- set faults = [] -%}
        {%- for seed in seed_keys() -%}
            {%- set node = graph.nodes['seed.bayespilot.' ~ seed] -%}
            {%- if node and node.unique_id in selected_resources -%}
                {%- set lines = text_of_file(node.root_path ~ '/' ~ node.original_file_path).splitlines() -%}
                {%- set columns = declared_columns(node.unique_id) | map(attribute='name') | list -%}
                {%- set problem = header_problem(lines[0] if lines else '', columns) -%}
                {%- if problem -%}{%- do faults.append(node.original_file_path ~ ", line 1: " ~ problem) -%}{%- endif -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if faults -%}
            {{ exceptions.raise_compiler_error(
                (faults | length) ~ " seed file(s) cannot be read.\n  - " ~ faults[:5] | join("\n  - ")
                ~ "\n  next: correct the first line (save the file as CSV in UTF-8, separated by commas), then run dbt build"
                ~ " again; nothing has been changed") }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}

{#- What is wrong with the first line of a seed file; none where it holds the declared columns, in any order. -#}
{% macro header_problem(line, columns) %}
    {%- set names = [] -%}
    {%- for name in (line | replace('\ufeff', '')).split(',') -%}{%- do names.append(name | trim | trim('"')) -%}{%- endfor -%}
    {%- set missing = columns | reject('in', names) | list -%}
    {%- set unknown = names | reject('in', columns) | list -%}
    {%- if names == [''] -%}{{ return('it is empty; it must name the columns ' ~ columns | join(', ')) }}{%- endif -%}
    {%- for sign, separator in {';': 'semicolons', '\t': 'tabs', '|': 'strokes'}.items() if missing and sign in line -%}
        {{ return('its columns are separated by ' ~ separator ~ ' where commas are needed') }}
    {%- endfor -%}
    {%- if missing or unknown -%}
        {{ return(
            ('it lacks ' ~ missing | join(', ') if missing else '') ~ (' and ' if missing and unknown else '')
            ~ ('it names what is no column: ' ~ unknown | join(', ') if unknown else '')
        ) }}
    {%- elif names | unique | list | length < names | length -%}
        {{ return('it names a column twice') }}
    {%- endif -%}
    {{ return(none) }}
{% endmacro %}
