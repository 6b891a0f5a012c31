-- Each decision with its label, reasons and one plain sentence.
with planned_actions as (

    select * from {{ ref('int_planned_actions') }}

),

scores as (

    select * from {{ ref('churn_scores') }}

),

offers as (

    select * from {{ ref('int_offers') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

reason_sentences as (

    select * from {{ ref('int_reason_sentences') }}

),

arguments as (

    select * from {{ ref('int_offer_arguments') }}

),

combined as (

    select
        planned_actions.*,
        coalesce(offers.action_label, 'Leave alone') as action_label,
        scores.risk_tier,
        scores.risk_percentile,
        scores.pipeline_version,
        parameters.currency,
        parameters.action_valid_days,
        reason_sentences.reason_1,
        reason_sentences.reason_2,
        reason_sentences.reason_3,
        {{ percent_text('planned_actions.churn_probability') }} || ' risk of leaving within '
        || cast(parameters.horizon_days as varchar) || ' days, with '
        || cast(cast(round(planned_actions.customer_value) as bigint) as varchar) || ' ' || parameters.currency
        || ' at stake' || coalesce(' (main sign: ' || reason_sentences.reason_1 || ')', '') as stake,
        case
            when planned_actions.arm = 'trial' then 'drawn by chance among the offers that could pay'
            else coalesce(arguments.argument, 'this offer helps most customers a little')
        end as argument
    from planned_actions
    inner join scores
        on planned_actions.customer_id = scores.customer_id
            and planned_actions.as_of_date = scores.as_of_date
    cross join parameters
    left join offers on planned_actions.action = offers.offer
    left join reason_sentences
        on planned_actions.customer_id = reason_sentences.customer_id
            and planned_actions.as_of_date = reason_sentences.as_of_date
    left join arguments on planned_actions.customer_id = arguments.customer_id

),

worded as (

    select
        combined.*,
        cast(
            case
                when action <> 'no_action'
                    then
                        action_label || ': ' || stake || '; ' || argument || '; expected to cost '
                        || {{ money_text('expected_cost') }} || ' ' || currency || case
                            when incremental_expected_value >= 0
                                then
                                    ' and to bring ' || {{ money_text('incremental_expected_value') }} || ' '
                                    || currency || ' more than that'
                            else '; made to learn what this offer does, though it may not pay'
                        end
                else {{ left_alone_words('arm', 'suppression_reason', 'has_worthwhile_offer') }} || '; ' || stake
            end || '.' as varchar
        ) as rationale
    from combined

)

select * from worded
