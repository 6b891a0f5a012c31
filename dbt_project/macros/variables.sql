{#-
    The variables of this project beside the policy parameters, each with the kind of its value, a key of `variable_kinds`.
    Other packages' variables are listed in the variable other_variables of dbt_project.yml.
-#}
{% macro project_variables() %}
    {{ return({
        'source': 'source', 'as_of_date': 'day', 'history_from': 'place', 'retrain': 'truth', 'allow_miscalibrated': 'truth',
        'allow_lost_input': 'names', 'rebuild_dates': 'days', 'channel_capacity': 'capacities', 'other_variables': 'names',
    }) }}
{% endmacro %}

{#- What the values of each kind of variable are, in words. -#}
{% macro variable_kinds() %}
    {{ return({
        'source': 'the name of a folder of dbt_project/sources',
        'day': 'a day such as 2026-10-31',
        'days': 'a list of days such as [2026-08-31, 2026-09-30]',
        'truth': 'true or false',
        'capacities': 'whole numbers of contacts by channel such as {email: 500}',
        'names': 'a list of names',
        'place': 'a database.schema that holds retention_actions_history, such as production.main of the target dev,',
        'value': 'a value',
    }) }}
{% endmacro %}

{#-
    Stops the run before its first node when a variable is set that nothing reads, or one of the project's own has a value
    that it cannot have. Variables are set by --vars or in dbt_project.yml. Called by on-run-start.
-#}
{% macro check_variables() %}
    {%- if execute -%}
        {%- set known = project_variables().keys() | list + policy_parameters() | map(attribute='name') | list -%}
        {%- set faults = [] -%}
        {%- set given = {} -%}
        {%- do given.update(variables_of_project_file()) -%}
        {%- do given.update(invocation_args_dict.get('vars') or {}) -%}
        {%- for name, value in given.items() -%}
            {%- if name in known -%}
                {%- set problem = variable_problem(name, value) -%}
                {%- if problem -%}{%- do faults.append(name ~ ": " ~ (value | string)[:80] ~ " where " ~ problem ~ " is needed") -%}{%- endif -%}
            {%- elif name not in (var('other_variables', none) or []) -%}
                {%- do faults.append(name ~ ": there is no such variable" ~ nearest_name(name, known)) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if faults -%}
            {{ exceptions.raise_compiler_error(
                (faults | length) ~ " variable(s) of this run are not as they must be.\n  - " ~ faults[:5] | join("\n  - ")
                ~ "\n  where: --vars, or vars in dbt_project.yml"
                ~ "\n  next: correct them and run the command again; seeds/README.md lists the variables, and what another"
                ~ " package reads is listed in other_variables of dbt_project.yml. Nothing has been changed") }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}

{#- What the value of a variable must be, where it is something else; none where nothing is wrong. -#}
{% macro variable_problem(name, value) %}
    {%- set kind = project_variables().get(name, 'value') -%}
    {%- set is_list = value is sequence and value is not string and value is not mapping -%}
    {%- if value is none -%}
        {%- set is_right = kind in ('day', 'days', 'capacities', 'names', 'place') -%}
    {%- elif kind == 'source' -%}
        {%- set is_right = is_source_name(value) -%}
    {%- elif kind == 'day' -%}
        {%- set is_right = is_day(value) -%}
    {%- elif kind == 'days' -%}
        {%- set checked = namespace(is_right=is_list) -%}
        {%- for day in (value if is_list else []) -%}{%- set checked.is_right = checked.is_right and is_day(day) -%}{%- endfor -%}
        {%- set is_right = checked.is_right -%}
    {%- elif kind == 'truth' -%}
        {%- set is_right = (value | string | lower) in ('true', 'false') -%}
    {%- elif kind == 'capacities' -%}
        {%- set amounts = (value.values() if value is mapping else ['']) | map('string') | list -%}
        {%- set checked = namespace(is_right=value is mapping) -%}
        {%- for amount in amounts -%}
            {%- set checked.is_right = checked.is_right and modules.re.fullmatch('[0-9]{1,9}([.]0+)?', amount) is not none -%}
        {%- endfor -%}
        {%- set is_right = checked.is_right -%}
    {%- elif kind == 'place' -%}
        {%- set is_right = modules.re.fullmatch('[^.]+[.][^.]+', value | string) is not none and holds_history() -%}
    {%- elif kind == 'names' -%}
        {%- set is_right = is_list -%}
    {%- else -%}
        {%- set is_right = value is not mapping and not is_list -%}
    {%- endif -%}
    {{ return(none if is_right else variable_kinds()[kind]) }}
{% endmacro %}

{#- Whether a value may name a source, and so its folders and files. -#}
{% macro is_source_name(value) %}
    {{ return(modules.re.fullmatch('[a-z][a-z0-9_]{0,39}', value | string) is not none) }}
{% endmacro %}

{#- Stops dbt while it reads the project when the name of the source could not be the name of a folder of its own. -#}
{% macro check_source_name() %}
    {%- if not is_source_name(var('source')) -%}
        {{ exceptions.raise_compiler_error(
            "'" ~ var('source') ~ "' is no name of a source: up to 40 lower-case letters, digits and underscores, beginning with a"
            ~ " letter.\n  where: the variable source\n  next: name a folder of dbt_project/sources;"
            ~ " nothing has been read or changed") }}
    {%- endif -%}
{% endmacro %}

{#- Whether a value is a day of the calendar, written as year, month and day. -#}
{% macro is_day(value) %}
    {%- set found = modules.re.fullmatch('([0-9]{4})-([0-9]{2})-([0-9]{2})( 00:00:00)?', value | string) -%}
    {%- if not found -%}{{ return(false) }}{%- endif -%}
    {%- set year, month, day = found.group(1) | int, found.group(2) | int, found.group(3) | int -%}
    {%- set february = 29 if (year % 4 == 0 and year % 100 != 0) or year % 400 == 0 else 28 -%}
    {%- set days = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] -%}
    {{ return(year > 0 and 1 <= month <= 12 and 1 <= day <= days[[[month, 1] | max, 12] | min - 1]) }}
{% endmacro %}

{#- The name that a misspelt one was most likely meant to be, in words; an empty text where none is near. -#}
{% macro nearest_name(name, known) %}
    {%- set near = run_query(
        "select known_name from (select '" ~ known | join("' as known_name union all select '") ~ "' as known_name) as known_names"
        ~ " where levenshtein(known_name, " ~ sql_text(name | string | lower) ~ ") <= " ~ [3, (name | string | length) // 3] | max
        ~ " order by levenshtein(known_name, " ~ sql_text(name | string | lower) ~ "), known_name limit 1"
    ).columns[0].values() -%}
    {{ return("; did you mean " ~ near[0] ~ "?" if near else "") }}
{% endmacro %}

{#- The variables that dbt_project.yml sets for this project; those of another package stand below its name. -#}
{% macro variables_of_project_file() %}
    {%- set set_there = {} -%}
    {%- set text = text_of_file(project_folder() ~ '/dbt_project.yml') -%}
    {%- for name, value in ((fromyaml(text) or {}).get('vars') or {}).items() -%}
        {%- if name == project_name -%}
            {%- do set_there.update(value or {}) -%}
        {%- elif value is not mapping or name == 'channel_capacity' -%}
            {%- do set_there.update({name: value}) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(set_there) }}
{% endmacro %}

{#- The folder of dbt_project.yml. -#}
{% macro project_folder() %}
    {%- set seeds = graph.nodes.values() | selectattr('resource_type', 'eq', 'seed') | selectattr('package_name', 'eq', project_name) -%}
    {{ return((seeds | first).root_path) }}
{% endmacro %}
