-- Weight of a decision whose outcome is that of this decision alone: 1 over the probability of what was done in this
-- run and of no action in the later runs within the horizon; 0 where a later run acted within the horizon. For a
-- customer left alone it is the product of 1 / propensity_no_action over these runs.
with decisions as (

    select * from {{ ref('int_outcome_decisions') }}

),

lasting_decisions as (

    select * from {{ ref('int_lasting_decisions') }}

),

-- Elsewhere the probability of no action is 1 and so is the factor.
runs_of_chance as (

    select *
    from lasting_decisions
    where action <> 'no_action' or propensity_no_action < 1

),

later_runs as (

    select
        decisions.action_id,
        max({{ offer_is_assigned('runs_of_chance') }}) as is_assigned,
        sum(case when runs_of_chance.action = 'no_action' then ln(runs_of_chance.propensity_no_action) else 0 end)
            as log_propensity
    from decisions
    inner join runs_of_chance
        on decisions.customer_id = runs_of_chance.customer_id
            and decisions.as_of_date < runs_of_chance.as_of_date
            and decisions.horizon_ends_on > runs_of_chance.as_of_date
    group by decisions.action_id

),

weights as (

    select
        cast(decisions.action_id as string) as action_id,
        cast(
            case
                when later_runs.is_assigned = 1 then 0
                else round(exp(-coalesce(later_runs.log_propensity, 0)) / decisions.propensity, 9)
            end as double
        ) as outcome_weight
    from decisions
    left join later_runs on decisions.action_id = later_runs.action_id

)

select * from weights
