{#- Whom a reason signal describes, as the end of "this offer helps customers …". -#}
{% macro signal_words() %}
    {{ return({
        'payment_failing': 'whose payments fail',
        'support_pain': 'who are unhappy with our support',
        'price_shock': 'whom the price bothers',
        'slipping': 'who come less often than they used to',
        'long_silent': 'who have been silent for long',
        'packing_up': 'who are getting ready to leave',
    }) }}
{% endmacro %}

{#- A probability as text in whole per cent, "under 1 %" below. -#}
{% macro percent_text(probability) -%}
    case
        when {{ probability }} < 0.01 then 'under 1 %'
        else cast(cast(round({{ probability }} * 100) as integer) as varchar) || ' %'
    end
{%- endmacro %}

{#- Why a customer is left alone, in words. -#}
{% macro left_alone_words(arm, suppression_reason, has_worthwhile_offer) -%}
    case
        when {{ arm }} = 'universal_holdout' then 'Never contacted: one of the customers who show what happens without us'
        when {{ arm }} in ('pick_holdout', 'trial') or {{ suppression_reason }} = 'held_out'
            then 'Left alone on purpose for some weeks, to measure what contacts achieve'
        when {{ suppression_reason }} = 'open_action' then 'Not contacted again: an earlier action is still open'
        when {{ suppression_reason }} = 'cool_down' then 'Not contacted: the last contact is too recent'
        when {{ suppression_reason }} = 'no_consent' then 'Not contacted: agrees to no channel'
        when {{ suppression_reason }} = 'no_eligible_offer' then 'Not contacted: no offer is open to this customer now'
        when {{ suppression_reason }} = 'below_minimum_value'
            then 'Not contacted: worth less than a contact needs to be worthwhile'
        when {{ has_worthwhile_offer }}
            then 'Not contacted: the budget and slots of this month go to customers who gain more'
        else 'Not contacted: no offer is expected to bring more than it costs'
    end
{%- endmacro %}
