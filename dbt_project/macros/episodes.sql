{#- Whether a decision opened an episode: by the policy, which may withhold the contact, or by a trial. -#}
{% macro opens_episode(arm) -%}
    {{ arm }} in ('policy', 'pick_holdout', 'trial')
{%- endmacro %}

{#-
    Whether chance left the customer of an episode alone, as a control of those who were assigned an offer. A trial's offer
    that the limits could not carry is an offer assigned, although nothing is done.
-#}
{% macro is_left_alone_by_draw(decisions) -%}
    ({{ decisions }}.arm = 'pick_holdout' or ({{ decisions }}.arm = 'trial' and {{ decisions }}.planned_action = 'no_action'))
{%- endmacro %}

{#- Whether a trial drew an offer that its limits could not carry: nothing is done, and it is not part of the plan. -#}
{% macro is_withdrawn_trial(decisions) -%}
    {{ decisions }}.arm = 'trial' and {{ decisions }}.action = 'no_action' and {{ decisions }}.planned_action <> 'no_action'
{%- endmacro %}

{#- 1 for a decision that made an offer or withdrew one that a trial drew, else 0: a later outcome is not that of chance. -#}
{% macro offer_is_assigned(decisions) -%}
    case when {{ decisions }}.action <> 'no_action' or {{ is_withdrawn_trial(decisions) }} then 1 else 0 end
{%- endmacro %}

{#-
    The action_id of each of `picks` (a relation or step) whose customer was within an episode that the service had opened
    before; `served` is a step of the query, with the horizon_days of each decision. A condition on `picks` may follow.
-#}
{% macro picks_within_served(picks) -%}
    select distinct picks.action_id
    from {{ picks }} as picks
    inner join served
        on picks.customer_id = served.customer_id
            and picks.as_of_date > served.as_of_date
            and picks.as_of_date < {{ add_days('served.as_of_date', 'served.horizon_days') }}
{%- endmacro %}
