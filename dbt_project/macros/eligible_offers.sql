{#-
    The offers as they stand in int_offers, read while the calling model is compiled: their conditions become
    part of its SQL. Empty until int_offers exists.
-#}
{% macro eligible_offers() %}
    {%- set offers = [] -%}
    {%- set relation = ref('int_offers') -%}
    {%- set stored = load_relation(relation) if execute else none -%}
    {%- if stored is not none -%}
        {%- set rows = run_query(
            "select offer, offer_position, eligible_when from " ~ stored ~ " order by offer_position") -%}
        {%- for row in rows.rows -%}
            {%- do offers.append({
                'offer': row[0], 'offer_position': row[1] | int, 'eligible_when': row[2]}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(offers) }}
{% endmacro %}
