{{ run_log() }}

with scores as (

    select * from {{ ref('churn_scores') }}

),

runs as (

    select * from {{ ref('policy_runs') }}

),

deployed as (

    select * from {{ ref('deployed_pipeline') }}

),

-- Customers with equal probabilities are grouped; whole millionths keep the sums exact.
grouped as (

    select
        as_of_date,
        cast(round(churn_probability * 1000000) as bigint) as leaving_ppm,
        count(*) as customers
    from scores
    group by as_of_date, cast(round(churn_probability * 1000000) as bigint)

),

ordered as (

    select
        as_of_date,
        customers,
        cast(customers * leaving_ppm as decimal(19, 0)) as leaving,
        cast(customers * (1000000 - leaving_ppm) as decimal(19, 0)) as staying,
        cast(customers * leaving_ppm * (1000000 - leaving_ppm) as decimal(38, 0)) as paired_with_themselves,
        cast(
            sum(customers * (1000000 - leaving_ppm)) over (
                partition by as_of_date
                order by leaving_ppm
                rows between unbounded preceding and current row
            ) as decimal(19, 0)
        ) as staying_up_to_here
    from grouped

),

-- Expected AUC over pairs of a customer who leaves and one who stays: the pair counts when the probability of the first
-- is greater, and half when both are equal.
pairs as (

    select
        as_of_date,
        sum(customers) as customers,
        cast(sum(leaving) as double) as leaving,
        cast(sum(leaving * cast(2 * staying_up_to_here - staying as decimal(19, 0))) as double) as twice_outranked,
        cast(sum(leaving) as double) * cast(sum(staying) as double) as all_pairs,
        cast(sum(paired_with_themselves) as double) as own_pairs
    from ordered
    group by as_of_date

),

expected as (

    select
        cast(pairs.as_of_date as date) as as_of_date,
        cast(pairs.customers as bigint) as customers,
        cast(pairs.leaving / 1000000 as double) as expected_churners,
        cast(pairs.leaving / 1000000 / pairs.customers as double) as expected_churn_rate,
        cast(
            round((pairs.twice_outranked - pairs.own_pairs) / 2 / nullif(pairs.all_pairs - pairs.own_pairs, 0), 6)
            as double
        ) as expected_auc,
        cast(deployed.judged_auc as double) as judged_auc,
        cast(runs.planned_value as double) as expected_profit,
        cast(runs.planned_spend as double) as expected_spend,
        cast(runs.currency as string) as currency,
        cast(deployed.pipeline_version as string) as pipeline_version
    from pairs
    inner join deployed on true
    left join runs on pairs.as_of_date = runs.as_of_date

)

select * from expected
