{#-
    The offers as they stand in int_offers, read while the calling model is compiled: their conditions and
    cost expressions become part of its SQL. Empty until int_offers exists.
-#}
{% macro eligible_offers() %}
    {%- set offers = [] -%}
    {%- set relation = ref('int_offers') -%}
    {%- set stored = load_relation(relation) if execute else none -%}
    {%- if stored is not none -%}
        {%- set rows = run_query(
            "select offer, offer_position, eligible_when, contact_cost, incentive_cost from " ~ stored
            ~ " order by offer_position") -%}
        {%- for row in rows.rows -%}
            {%- do offers.append({
                'offer': row[0], 'offer_position': row[1] | int, 'eligible_when': row[2],
                'contact_cost': row[3], 'incentive_cost': row[4]}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(offers) }}
{% endmacro %}

{#- The columns of int_offer_costs that hold money, in the order of offer_position. -#}
{% macro cost_columns() %}
    {%- set columns = [] -%}
    {%- for offer in eligible_offers() -%}
        {%- do columns.append('contact_cost_' ~ offer.offer_position) -%}
        {%- do columns.append('incentive_cost_' ~ offer.offer_position) -%}
    {%- endfor -%}
    {{ return(columns) }}
{% endmacro %}

{#-
    Why an open action is withdrawn, null where it is not: its offer or its channel has left the seeds or has no capacity.
    `offers` and `channels` are left joins of int_offers on the action and of int_channels on the action's own channel.
-#}
{% macro withdrawal_reason(offers, channels) -%}
    case
        when {{ offers }}.offer is null then 'offer_removed'
        when {{ channels }}.channel is null then 'channel_removed'
        when {{ offers }}.monthly_capacity = 0 then 'offer_closed'
        when {{ channels }}.monthly_capacity = 0 then 'channel_closed'
    end
{%- endmacro %}
