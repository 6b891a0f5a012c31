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
    outside the bounds of its column, and a key that stands in more than one row. `relation` is a CTE with its rows.
-#}
{% macro declared_faults(seed, relation) -%}
    {%- for column in declared_columns('seed.bayespilot.' ~ seed) if column.bounds %}
    select
        '{{ seed }}' as seed,
        {{ seed_row_name(seed) }} as seed_row,
        case
            when {{ column.name }} is null then '{{ column.name }} is missing'
            else '{{ column.name }} ' || cast({{ column.name }} as varchar)
                || ' must be {{ bounds_text(column.bounds, column.type) }}'
        end as problem
    from {{ relation }}
    where not coalesce({{ within_bounds(column.name, column.name, column.bounds, column.type) }}, false)
    union all
    {%- endfor %}
    select
        '{{ seed }}' as seed,
        {{ seed_row_name(seed) }} as seed_row,
        'the key stands in more than one row' as problem
    from {{ relation }}
    group by {{ seed_keys()[seed] | join(', ') }}
    having count(*) > 1
{%- endmacro %}

{#-
    Faults of the policy parameters, as a select of seed_row and problem: a parameter that is missing, unknown or outside
    its bounds, or that contradicts another one. `policy` is a CTE with the values. An empty seed (as in an --empty build)
    has no fault.
-#}
{% macro policy_faults(policy) -%}
    select
        parameter as seed_row,
        'there is no such parameter' as problem
    from {{ policy }}
    where parameter not in ('{{ policy_parameters() | map(attribute='name') | join("', '") }}')
    {%- for parameter in policy_parameters() %}
    union all
    select
        '{{ parameter.name }}' as seed_row,
        'the parameter is missing' as problem
    from {{ policy }}
    having count(*) > 0 and count(case when parameter = '{{ parameter.name }}' then 1 end) = 0
    union all
    select
        parameter as seed_row,
        'value ' || coalesce(value, 'null') || case when is_overridden then ' (set by --vars)' else '' end
        || ' must be {{ bounds_text(parameter.bounds, parameter.type) }}' as problem
    from {{ policy }}
    where parameter = '{{ parameter.name }}'
        and not coalesce({{ within_bounds('value', 'try_cast(value as double)', parameter.bounds, parameter.type) }}, false)
    {%- if 'less_than' in parameter.bounds %}
    union all
    select
        smaller.parameter as seed_row,
        'value ' || smaller.value || ' must be less than {{ parameter.bounds.less_than }}, ' || larger.value as problem
    from {{ policy }} as smaller
    inner join {{ policy }} as larger on larger.parameter = '{{ parameter.bounds.less_than }}'
    where smaller.parameter = '{{ parameter.name }}'
        and try_cast(smaller.value as double) >= try_cast(larger.value as double)
    {%- endif -%}
    {%- endfor %}
{%- endmacro %}

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

{#-
    What is wrong with the SQL in offers.csv, as a list of {offer, problem}: conditions and cost expressions become part of
    a query, so they may name features only, keep their brackets to themselves and hold one expression. Read while the
    calling model is compiled; empty until the seed exists.
-#}
{% macro expression_faults() %}
    {%- set faults = [] -%}
    {%- set stored = load_relation(ref('offers')) if execute else none -%}
    {%- if stored is not none -%}
        {%- set columns = ['eligible_when', 'contact_cost', 'incentive_cost'] -%}
        {%- for row in run_query("select offer, " ~ columns | join(', ') ~ " from " ~ stored).rows -%}
            {%- for column in columns if row[loop.index] is not none -%}
                {%- set problem = expression_problem(row[loop.index] | string) -%}
                {%- if problem -%}{%- do faults.append({'offer': row[0], 'problem': column ~ ' ' ~ problem}) -%}{%- endif -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(faults) }}
{% endmacro %}

{#- What is wrong with one expression over customer_features, in words; none if nothing is. -#}
{% macro expression_problem(expression) %}
    {%- set words = [
        'and', 'or', 'not', 'is', 'null', 'in', 'between', 'like', 'true', 'false', 'case', 'when', 'then', 'else',
        'end', 'cast', 'as', 'date', 'interval', 'integer', 'double', 'varchar', 'string', 'e',
    ] -%}
    {%- set known = graph.nodes['model.bayespilot.customer_features'].columns.keys() | map('lower') | list -%}
    {%- set bare = modules.re.sub("'[^']*'", "''", expression | lower) -%}
    {%- set unknown = [] -%}
    {%- for name in modules.re.findall('(?<![0-9.])[a-z_][a-z0-9_]*(?!\\w*\\()', bare) -%}
        {%- if name not in words and name not in known and name not in unknown -%}
            {%- do unknown.append(name) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set depth = namespace(now=0, lowest=0) -%}
    {%- for sign in modules.re.findall('[()]', bare) -%}
        {%- set depth.now = depth.now + (1 if sign == '(' else -1) -%}
        {%- set depth.lowest = [depth.lowest, depth.now] | min -%}
    {%- endfor -%}
    {%- if unknown -%}
        {{ return('names no feature: ' ~ unknown | join(', ')) }}
    {%- elif depth.now != 0 or depth.lowest < 0 -%}
        {{ return('does not close its brackets') }}
    {%- elif ';' in bare or '--' in bare or bare.count("'") % 2 -%}
        {{ return('must be one expression') }}
    {%- endif -%}
    {{ return(none) }}
{% endmacro %}
