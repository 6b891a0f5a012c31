{#-
    What is wrong with the conditions of offers.csv, as a list of {offer, problem}: they become part of a query, so they
    may name features only, keep their brackets to themselves and hold one expression. Read while the calling model is
    compiled; empty until the seed exists.
-#}
{% macro eligibility_faults() %}
    {%- set faults = [] -%}
    {%- set stored = load_relation(ref('offers')) if execute else none -%}
    {%- if stored is not none -%}
        {%- set words = [
            'and', 'or', 'not', 'is', 'null', 'in', 'between', 'like', 'true', 'false', 'case', 'when', 'then', 'else',
            'end', 'cast', 'as', 'date', 'interval', 'integer', 'double', 'varchar',
        ] -%}
        {%- set known = graph.nodes['model.bayespilot.customer_features'].columns.keys() | map('lower') | list -%}
        {%- for row in run_query("select offer, eligible_when from " ~ stored ~ " where eligible_when is not null").rows -%}
            {%- set bare = modules.re.sub("'[^']*'", "''", row[1] | string | lower) -%}
            {%- set unknown = [] -%}
            {%- for name in modules.re.findall('[a-z_][a-z0-9_]*(?!\\w*\\()', bare) -%}
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
                {%- do faults.append({'offer': row[0], 'problem': 'eligible_when names no feature: ' ~ unknown | join(', ')}) -%}
            {%- elif depth.now != 0 or depth.lowest < 0 -%}
                {%- do faults.append({'offer': row[0], 'problem': 'eligible_when does not close its brackets'}) -%}
            {%- elif ';' in bare or '--' in bare or bare.count("'") % 2 -%}
                {%- do faults.append({'offer': row[0], 'problem': 'eligible_when must be one condition'}) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(faults) }}
{% endmacro %}
