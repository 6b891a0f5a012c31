{#-
    SQL over the columns of one customer, used by the models and published for the service (int_served_expressions): both
    evaluate the same text.
-#}

{#-
    The column of customer_features that counts days of use in half a year: engagement where the source maps activity to
    it, else purchases; none where it maps neither, so that nobody can be seen to be dormant. Read while the calling model
    is compiled.
-#}
{% macro use_column() %}
    {%- set relation = ref('int_activity_map') -%}
    {%- set stored = load_relation(relation) if execute else none -%}
    {%- if stored is none -%}{{ return('engagement_active_days_last_180_days') }}{%- endif -%}
    {%- set rows = run_query("select distinct meaning from " ~ stored ~ " where counts_as_event").rows -%}
    {%- set meanings = rows | map(attribute=0) | list -%}
    {%- if 'engagement' in meanings -%}{{ return('engagement_active_days_last_180_days') }}{%- endif -%}
    {{ return('purchases_last_180_days' if 'purchase' in meanings else none) }}
{% endmacro %}

{#-
    Reason signals over the columns of customer_features, 0 (no sign) to 2 (strong); int_reason_signals describes them.
    use: what `use_column` returns.
-#}
{% macro signal_expressions(use=none) %}
    {{ return({
        'payment_failing': "least(overdue_invoices + 0.5 * late_payments_last_90_days, 2)",
        'support_pain':
            "least(0.5 * tickets_opened_last_30_days + 0.5 * open_tickets + 0.75 * poor_ratings_last_90_days, 2)",
        'price_shock':
            "least("
            ~ "case when price_increases_last_90_days > 0 then 1.0 else 0.0 end"
            ~ " + 0.5 * least(price_interest_events_last_30_days, 2), 2)",
        'declining_engagement':
            "least(greatest("
            ~ "case when engagement_events_last_90_days >= 6"
            ~ " then 4 * (0.75 - coalesce(engagement_last_30_over_90_days, 0)) else 0 end,"
            ~ " case when engagement_active_days_last_365_days >= 3"
            ~ " then coalesce(silence_over_usual_gap, 0) - 2 else 0 end,"
            ~ " 0), 2)",
        'dormant':
            "case when tenure_days >= 180 then 2 * greatest(1 - " ~ use ~ " / 3, 0) else 0 end" if use else "0",
        'exit_intent': "least(leaving_signal_events_last_30_days + 2 * announced_fee_share, 2)",
    }) }}
{% endmacro %}

{#- When a customer billed for longer than the horizon can leave, over the columns of customer_features and horizon_days. -#}
{% macro renewal_expressions() %}
    {%- set is_annual = "coalesce(billing_period = 'annual' and horizon_days < 365, false)" -%}
    {{ return({
        'renewal_interval_days': "case when " ~ is_annual ~ " then 365 else 0 end",
        'days_to_renewal':
            "case when " ~ is_annual
            ~ " then coalesce(days_to_commitment_end, mod(365 - mod(days_in_current_period, 365), 365)) else 0 end",
    }) }}
{% endmacro %}

{#-
    Numbers in [0, 1) that decide by chance, over randomisation_salt, customer_id, as_of_date and last_episode (null before
    the first): fixed per customer, per episode and, for trials, per month. `draw` is the macro that writes a draw, by
    default as this engine reads it.
-#}
{% macro draw_expressions(draw=none) %}
    {%- set draw = draw or stable_draw -%}
    {%- set customer = "randomisation_salt || '/' || customer_id" -%}
    {%- set month = customer ~ " || '/' || substr(cast(as_of_date as string), 1, 7)" -%}
    {%- set episode = customer ~ " || '/' || cast(coalesce(last_episode, 0) + 1 as string)" -%}
    {{ return({
        'universal_draw': draw(customer ~ " || '/universal'"),
        'pick_draw': draw(episode ~ " || '/pick'"),
        'trial_draw': draw(month ~ " || '/trial'"),
        'trial_offer_draw': draw(episode ~ " || '/trial_offer'"),
    }) }}
{% endmacro %}

{#- The offers whose conditions hold, as bits in the order of offer_position. -#}
{% macro conditions_that_hold() -%}
    cast(
        0
        {% for offer in eligible_offers() -%}
            + case
                when (
                    {{ offer.eligible_when }}
                ) then {{ 2 ** offer.offer_position }}
                else 0
            end
        {% endfor %}
        as bigint
    )
{%- endmacro %}

{#- Why a customer may not be contacted, over offers_allowed, has_consent and the suppression_reason of int_suppressions. -#}
{% macro first_suppression() -%}
    case
        when not has_consent then 'no_consent'
        when suppression_reason is not null then suppression_reason
        when offers_allowed = 0 then 'no_eligible_offer'
    end
{%- endmacro %}
