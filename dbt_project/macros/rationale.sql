{#- The customers that show a reason signal, as the end of "customers …". -#}
{% macro signal_words() %}
    {{ return({
        'payment_failing': 'with late or unpaid invoices',
        'support_pain': 'with support problems',
        'price_shock': 'with a price increase or an interest in prices',
        'declining_engagement': 'with declining activity',
        'dormant': 'with hardly any use for half a year',
        'exit_intent': 'with signs of leaving',
    }) }}
{% endmacro %}

{#- A probability as text in whole per cent, "under 1 %" below. -#}
{% macro percent_text(probability) -%}
    case
        when {{ probability }} < 0.01 then 'under 1 %'
        else cast(cast(round({{ probability }} * 100) as integer) as string) || ' %'
    end
{%- endmacro %}

{#- Money as text with two decimals. -#}
{% macro money_text(amount) %}cast(cast({{ amount }} as decimal(18, 2)) as string){% endmacro %}

{#-
    Why a customer is not contacted, in words; reads the columns arm, planned_action, suppression_reason and
    has_worthwhile_offer.
-#}
{% macro not_contacted_words() -%}
    case
        when arm = 'universal_holdout' then 'Not contacted: member of the holdout group that measures the programme'
        when arm = 'trial' and planned_action <> 'no_action'
            then 'Not contacted for some weeks: a trial drew an offer that its limits of this month could not carry'
        when arm in ('pick_holdout', 'trial') or suppression_reason = 'held_out'
            then 'Not contacted for some weeks: member of a control group that measures contacts'
        when suppression_reason = 'open_action' then 'No new contact: an earlier action is still open'
        when suppression_reason = 'cool_down' then 'Not contacted: the last contact is too recent'
        when suppression_reason = 'open_episode'
            then 'No new contact: an earlier decision holds until its outcome is known'
        when suppression_reason = 'no_consent' then 'Not contacted: no consent to any channel'
        when suppression_reason = 'no_eligible_offer' then 'Not contacted: no offer is available to this customer now'
        when suppression_reason = 'unknown_customer'
            then 'Not contacted: the customer is not known to be at risk'
        when suppression_reason = 'below_minimum_value'
            then 'Not contacted: the customer value is below the minimum for a contact'
        when has_worthwhile_offer
            then 'Not contacted: the budget and capacity of this month do not reach as far as this contact'
        else 'Not contacted: no offer is expected to bring enough beyond its cost'
    end
{%- endmacro %}

{#- Whether a row of offer_effects holds a reduction of the risk that randomised contacts have shown. -#}
{% macro is_measured_reduction() -%}
    (effect_source = 'measured' and effect_mean + 1.96 * effect_sd < 0)
{%- endmacro %}

{#- Per offer, by how much it lowers the risk through each signal, and whether that is measured; over offer_effects. -#}
{% macro offer_reductions() -%}
    select
        offer,
        {% for signal in reason_signals() -%}
            max(case when signal = '{{ signal }}' then least(effect_mean, 0) end) as reduction_{{ signal }},
            max(case when signal = '{{ signal }}' and {{ is_measured_reduction() }} then 1 else 0 end)
                as is_measured_{{ signal }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from offer_effects
    group by offer
{%- endmacro %}

{#- By how much an offer lowers a customer's risk through one signal, 0 or below; 0 without an offer. -#}
{% macro shown_reduction(signal, reduction) -%}coalesce({{ signal }} * {{ reduction }}, 0){%- endmacro %}

{#-
    Why the planned offer suits the customer: the signal of the customer through which it lowers the risk the most, from
    columns reduction_<signal> (0 or below) and is_measured_<signal>; the first by name where two are equal. Empty where
    the offer addresses no signal that the customer shows.
-#}
{% macro offer_argument() -%}
    {%- set signals = reason_signals() | sort -%}
    case
        when arm = 'trial' then '; chosen at random among the offers that could pay'
        else
            case least({% for signal in signals %}reduction_{{ signal }}{{ ', ' if not loop.last }}{% endfor %})
                when 0 then ''
                {%- for signal in signals %}
                when reduction_{{ signal }}
                    then case
                        when is_measured_{{ signal }} = 1
                            then '; randomised contacts show that this offer helps customers {{ signal_words()[signal] }}'
                        else '; this offer is expected to help customers {{ signal_words()[signal] }}'
                    end
                {%- endfor %}
            end
    end
{%- endmacro %}

{#- The decision in one sentence, from the columns of the last step of int_decisions. -#}
{% macro rationale() -%}
    {%- set stake -%}
        {{ percent_text('churn_probability') }} || ' risk of leaving within ' || cast(horizon_days as string)
        || ' days, with ' || cast(cast(round(customer_value) as bigint) as string) || ' ' || currency
        || ' at stake' || coalesce(' (main sign: ' || reason_1 || ')', '')
    {%- endset -%}
    case
        when action = 'no_action' then {{ not_contacted_words() }} || '; ' || {{ stake }}
        else
            action_label || ': ' || {{ stake }} || {{ offer_argument() }} || '; expected to cost '
            || {{ money_text('expected_cost') }} || ' ' || currency || case
                when incremental_expected_value >= 0
                    then
                        ' and to bring ' || {{ money_text('incremental_expected_value') }} || ' ' || currency
                        || ' more than that'
                else '; made for a trial, although its expected value is below zero'
            end
    end || '.'
{%- endmacro %}
