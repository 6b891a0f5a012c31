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
        cast(cast(round(planned_actions.churn_probability * 100) as integer) as varchar) || ' % risk of leaving within '
        || cast(parameters.horizon_days as varchar) || ' days, with '
        || {{ money_text('planned_actions.customer_value') }} || ' ' || parameters.currency || ' at stake'
            as stake
    from planned_actions
    inner join scores
        on planned_actions.customer_id = scores.customer_id
            and planned_actions.as_of_date = scores.as_of_date
    cross join parameters
    left join offers on planned_actions.action = offers.offer
    left join reason_sentences
        on planned_actions.customer_id = reason_sentences.customer_id
            and planned_actions.as_of_date = reason_sentences.as_of_date

),

worded as (

    select
        combined.*,
        cast(
            case
                when action <> 'no_action'
                    then
                        action_label || ': ' || stake || coalesce(', because ' || reason_1, '')
                        || '; expected to cost ' || {{ money_text('expected_cost') }}
                        || ' and to return ' || {{ money_text('incremental_expected_value') }} || ' ' || currency
                        || ' net'
                when arm = 'universal_holdout'
                    then
                        'Left alone for good: one of the customers who show what happens without any contact'
                when arm in ('pick_holdout', 'trial')
                    then
                        'Left alone this month on purpose, to measure what contacts achieve; ' || stake
                when suppression_reason = 'open_action'
                    then
                        'An earlier action is still open; ' || stake
                when suppression_reason = 'held_out'
                    then
                        'Still held out to measure what contacts achieve; ' || stake
                when suppression_reason = 'cool_down'
                    then
                        'Contacted not long ago; ' || stake
                when suppression_reason = 'no_consent'
                    then
                        'Consents to no channel; ' || stake
                when suppression_reason = 'no_eligible_offer'
                    then
                        'No offer is open to this customer; ' || stake
                when suppression_reason = 'below_minimum_value'
                    then
                        'Worth less than the smallest value that justifies a contact; ' || stake
                else
                    'No offer returns more than it costs within what is left of this month; ' || stake
            end || '.' as varchar
        ) as rationale
    from combined

)

select * from worded
