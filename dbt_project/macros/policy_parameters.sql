{#-
    Every policy parameter with its SQL type and the condition that its value must meet. The numbers
    themselves stand in seeds/<source>/policy.csv; a dbt variable of the same name overrides the seed.
-#}
{% macro policy_parameter_rules() %}
    {{ return({
        'churn_definition': ['varchar', "value in ('subscription_end', 'inactivity')"],
        'horizon_days': ['integer', 'number between 1 and 365'],
        'at_risk_days': ['integer', 'number between 1 and 365'],
        'training_month_ends': ['integer', 'number between 3 and 120'],
        'minimum_history_days': ['integer', 'number >= 0'],
        'payment_grace_days': ['integer', 'number >= 0'],
        'currency': ['varchar', 'length(value) = 3'],
        'margin_rate': ['double', 'number > 0 and number <= 1'],
        'value_horizon_days': ['integer', 'number >= 2'],
        'annual_discount_rate': ['double', 'number >= 0 and number < 1'],
        'monthly_budget': ['double', 'number >= 0'],
        'monthly_capacity_email': ['integer', 'number >= 0'],
        'monthly_capacity_phone': ['integer', 'number >= 0'],
        'monthly_capacity_push': ['integer', 'number >= 0'],
        'pacing': ['varchar', "value in ('none', 'linear')"],
        'touch_price': ['double', 'number >= 0'],
        'cool_down_days': ['integer', 'number >= 0'],
        'action_valid_days': ['integer', 'number >= 1'],
        'minimum_customer_value': ['double', 'number >= 0'],
        'universal_holdout_share': ['double', 'number >= 0 and number <= 0.5'],
        'pick_holdout_share': ['double', 'number = 0 or number between 0.05 and 0.95'],
        'trial_share': ['double', 'number >= 0 and number <= 1'],
        'randomisation_salt': ['varchar', 'length(value) >= 1'],
        'review_from': ['double', 'number > 0 and number < 1'],
        'escalate_from': ['double', 'number > 0 and number < 1'],
    }) }}
{% endmacro %}

{#- The reasons for which a customer may leave, in the order of the effect coefficients. -#}
{% macro reason_signals() %}
    {{ return(['payment_failing', 'support_pain', 'price_shock', 'slipping', 'long_silent', 'packing_up']) }}
{% endmacro %}

{#-
    A condition that is true while no seed row is at fault, and otherwise stops the run, naming the first
    five faults. It stands in the `where` of the models through which every seed passes.
-#}
{% macro seeds_are_sound() -%}
(
    select
        case
            when count(*) = 0 then true
            else {{ raise_error("'The seeds hold ' || cast(count(*) as varchar) || ' problem(s): ' || min(first_problems.listed) || '. Correct the rows, then run dbt build again'") }}
        end
    from {{ ref('int_seed_problems') }} as seed_problems
    cross join (
        select
            {{ join_text("seed_file || ', ' || seed_row || ': ' || problem", "'; '", "seed_file, seed_row, problem") }} as listed
        from (
            select * from {{ ref('int_seed_problems') }}
            order by seed_file, seed_row, problem
            limit 5
        ) as first_five
    ) as first_problems
)
{%- endmacro %}
