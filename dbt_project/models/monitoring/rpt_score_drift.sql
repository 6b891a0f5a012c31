{{ run_log() }}

-- How far the churn probabilities of the run have moved since training: one row per bin of the training's
-- probabilities, with one index over all bins repeated on each.
with scores as (

    select * from {{ ref('churn_scores') }}

),

reference_bins as (

    select * from {{ ref('int_reference_bins') }}

),

limits as (

    select * from {{ ref('int_monitoring_limits') }}

),

bins as (

    select
        *,
        lag(upper_edge) over (order by bin_position) as lower_edge
    from reference_bins
    where feature = 'churn_probability' and slice = 'all' and bin_kind = 'known'

),

run as (

    select
        as_of_date,
        count(*) as all_customers
    from scores
    group by as_of_date

),

counted as (

    select
        bins.bin_position,
        count(scores.customer_id) as customers
    from bins
    left join scores
        on scores.churn_probability > coalesce(bins.lower_edge, -1)
            and scores.churn_probability <= coalesce(bins.upper_edge, 2)
    group by bins.bin_position

),

shares as (

    select
        run.*,
        bins.*,
        limits.*,
        counted.customers,
        counted.customers / cast(run.all_customers as double) as share,
        {{ smallest_share('bins.reference_rows', 'run.all_customers') }} as smallest_share
    from counted
    inner join bins on counted.bin_position = bins.bin_position
    cross join run
    cross join limits

),

measured as (

    select
        *,
        sum({{ population_stability('share', 'expected_share', 'smallest_share') }}) over (partition by as_of_date)
        / 1000000000 as psi,
        chance_quantile * (1 / reference_rows + 1 / all_customers) as psi_by_chance
    from shares

),

drift as (

    select
        cast(as_of_date as date) as as_of_date,
        cast(bin_position as integer) as bin_position,
        cast(lower_edge as double) as lower_edge,
        cast(upper_edge as double) as upper_edge,
        cast(expected_share as double) as expected_share,
        cast(share as double) as share,
        cast(customers as bigint) as customers,
        cast(psi as double) as psi,
        cast(round(psi_by_chance, 9) as double) as psi_by_chance,
        cast({{ stability_status('psi', 'psi_by_chance') }} as string) as status,
        cast(pipeline_version as string) as pipeline_version
    from measured

)

select * from drift
