-- The value of a plan never exceeds its bound, and the gap is the share of the bound that the plan misses.
with policy_runs as (

    select * from {{ ref('policy_runs') }}

),

contradictions as (

    select
        as_of_date,
        steered_value,
        plan_value_bound,
        plan_gap
    from policy_runs
    where steered_value > plan_value_bound + 0.01
        or abs(plan_gap * plan_value_bound - (plan_value_bound - steered_value)) > 0.01 + 0.000001 * plan_value_bound

)

select * from contradictions
