-- Episodes of months all of whose episodes have matured, leavers no earlier than the others: a month is used once the
-- horizons of its days and the grace have passed; a final month has them behind it. A customer who stays is taken to
-- bring what the decision expected, no more and no less; one who has left brought the margin until then.
with outcomes as (

    select * from {{ ref('action_outcomes') }}

),

month_horizons as (

    select * from {{ ref('int_month_horizons') }}

),

run as (

    select * from {{ ref('int_run') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

episodes as (

    select
        cast(outcomes.customer_id as string) as customer_id,
        cast(outcomes.outcome_month as date) as outcome_month,
        cast(outcomes.as_of_date as date) as opened_on,
        cast(outcomes.planned_action as string) as offer,
        cast(outcomes.incremental_expected_value as double) as expected_value,
        cast(outcomes.arm <> 'trial' as boolean) as is_chosen,
        cast({{ is_left_alone_by_draw('outcomes') }} as boolean) as is_left_alone,
        cast(outcomes.propensity_no_action as double) as propensity_no_action,
        cast(outcomes.has_churned as boolean) as has_left,
        cast({{ is_left_alone_by_draw('outcomes') }} and outcomes.is_contacted as boolean) as is_contaminated,
        cast(round((outcomes.realised_margin - outcomes.realised_cost) * 100) as bigint) as realised_cents,
        cast(
            case
                when outcomes.has_churned then 0
                else round((outcomes.customer_value - outcomes.realised_margin) * 100)
            end as bigint
        ) as to_come_cents,
        cast(round(outcomes.customer_value * 100) as bigint) as at_opening_cents,
        cast(-outcomes.churn_probability * outcomes.customer_value as double) as predicted_left_alone
    from outcomes
    cross join run
    cross join parameters
    left join month_horizons on outcomes.outcome_month = month_horizons.outcome_month
    where {{ opens_episode('outcomes.arm') }}
        and coalesce(
            {{ add_days('month_horizons.month_horizon_ends_on', 'parameters.resume_grace_days') }}
            <= run.as_of_date, true
        )

)

select * from episodes
