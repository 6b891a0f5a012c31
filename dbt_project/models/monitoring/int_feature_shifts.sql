with reference_bins as (

    select * from {{ ref('int_reference_bins') }}

),

measured_bins as (

    select * from {{ ref('int_measured_bins') }}

),

limits as (

    select * from {{ ref('int_monitoring_limits') }}

),

totals as (

    select
        feature,
        slice,
        sum(customers) as customers
    from measured_bins
    group by feature, slice

),

compared as (

    select
        measured_bins.*,
        totals.customers as slice_customers,
        reference_bins.role,
        reference_bins.bin_kind,
        reference_bins.expected_share,
        reference_bins.reference_rows,
        reference_bins.chance_quantile,
        reference_bins.median_size as median_size_then,
        reference_bins.lower_size as lower_size_then,
        reference_bins.upper_size as upper_size_then,
        reference_bins.sized_rows as sized_rows_then,
        reference_bins.pipeline_version,
        measured_bins.customers / cast(totals.customers as double) as share,
        {{ smallest_share('reference_bins.reference_rows', 'totals.customers') }} as smallest_share
    from measured_bins
    inner join totals on measured_bins.feature = totals.feature and measured_bins.slice = totals.slice
    inner join reference_bins
        on measured_bins.feature = reference_bins.feature
            and measured_bins.slice = reference_bins.slice
            and measured_bins.bin_position = reference_bins.bin_position
    cross join limits
    where totals.customers > 0

),

shifts as (

    select
        cast(as_of_date as date) as as_of_date,
        cast(feature as varchar) as feature,
        cast(slice as varchar) as slice,
        cast(max(role) as varchar) as role,
        cast(max(slice_customers) as bigint) as customers,
        cast(max(reference_rows) as double) as reference_rows,
        cast(sum({{ population_stability('share', 'expected_share', 'smallest_share') }}) / 1000000000.0 as double)
            as psi,
        cast(round(max(chance_quantile) * (1 / max(reference_rows) + 1.0 / max(slice_customers)), 9) as double)
            as psi_by_chance,
        cast(max(case when bin_kind = 'missing' then expected_share end) as double) as missing_share_then,
        cast(max(case when bin_kind = 'missing' then share end) as double) as missing_share,
        cast(max(case when bin_kind = 'other' then share - expected_share end) as double) as new_share,
        cast(max(case when bin_kind = 'other' then customers end) as bigint) as new_customers,
        cast(max(new_values) as varchar) as new_values,
        cast(max(median_size_then) as double) as median_size_then,
        cast(max(lower_size_then) as double) as lower_size_then,
        cast(max(upper_size_then) as double) as upper_size_then,
        cast(max(median_size) as double) as median_size,
        cast(least(max(sized_rows_then), max(sized_customers)) as bigint) as sized_rows,
        cast(max(pipeline_version) as varchar) as pipeline_version
    from compared
    group by as_of_date, feature, slice

)

select * from shifts
