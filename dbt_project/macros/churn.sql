{#- Days until a label is known: the horizon, and the pause after which a customer who returns has not left. -#}
{% macro label_wait_days() -%}(parameters.horizon_days + parameters.resume_grace_days){%- endmacro %}

{#-
    The customer-dates of `matured` that stayed, as a select of customer_id and as_of_date: the one place that says what
    churn is. Under subscription_end a paid subscription runs at the end of the horizon (it was kept, or ended and was
    resumed), or pauses there for at most resume_grace_days; under inactivity a sign of life falls into the horizon. A
    customer-date that is not in it has churned.

    matured: a CTE with customer_id, as_of_date and horizon_ends_on.
-#}
{% macro stayed_through_horizon(matured) %}
    select distinct
        {{ matured }}.customer_id,
        {{ matured }}.as_of_date
    from {{ matured }}
    inner join {{ ref('int_policy_parameters') }} as churn_parameters
        on churn_parameters.churn_definition = 'subscription_end'
    inner join {{ ref('int_paid_stretches') }} as churn_stretches
        on {{ matured }}.customer_id = churn_stretches.customer_id
            and {{ matured }}.horizon_ends_on >= churn_stretches.started_on
            and (
                churn_stretches.ended_on is null
                or {{ matured }}.horizon_ends_on < churn_stretches.ended_on
            )
    union all
    select distinct
        {{ matured }}.customer_id,
        {{ matured }}.as_of_date
    from {{ matured }}
    inner join (
        select distinct
            churn_activity.customer_id,
            churn_activity.occurred_on
        from {{ valid_rows('activity') }} as churn_activity
        inner join (
            select distinct activity_type
            from {{ ref('int_activity_map') }}
            where counts_as_event and meaning in ('engagement', 'purchase')
        ) as active_types on churn_activity.activity_type = active_types.activity_type
        inner join {{ ref('int_policy_parameters') }} as churn_parameters
            on churn_parameters.churn_definition = 'inactivity'
    ) as active_days
        on {{ matured }}.customer_id = active_days.customer_id
            and {{ matured }}.as_of_date < active_days.occurred_on
            and {{ matured }}.horizon_ends_on >= active_days.occurred_on
{% endmacro %}
