{{ run_log() }}

-- How far the features of the run's customers have moved since training: every feature over all customers, and by slice
-- (the customers of one category) where a slice moved by itself. Bins, shares and sizes of training come from
-- int_reference_bins, those of the run from int_measured_bins. `_then` is at training.
with reference_bins as (

    select * from {{ ref('int_reference_bins') }}

),

measured_bins as (

    select * from {{ ref('int_measured_bins') }}

),

schema_rows as (

    select * from {{ ref('int_feature_schema') }}

),

limits as (

    select * from {{ ref('int_monitoring_limits') }}

),

slices as (

    select
        *,
        sum(customers) over (partition by feature, slice) as slice_customers
    from measured_bins

),

bins as (

    select
        slices.*,
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
        slices.customers / cast(slices.slice_customers as double) as share,
        {{ smallest_share('reference_bins.reference_rows', 'slices.slice_customers') }} as smallest_share
    from slices
    inner join reference_bins
        on slices.feature = reference_bins.feature
            and slices.slice = reference_bins.slice
            and slices.bin_position = reference_bins.bin_position
    cross join limits
    where slices.slice_customers > 0

),

shifts as (

    select
        as_of_date,
        feature,
        slice,
        {% for column in [
            'role', 'pipeline_version', 'new_values', 'reference_rows', 'median_size_then', 'lower_size_then',
            'upper_size_then', 'median_size',
        ] -%}
            max({{ column }}) as {{ column }},
        {% endfor -%}
        max(slice_customers) as customers,
        sum({{ population_stability('share', 'expected_share', 'smallest_share') }}) / 1000000000 as psi,
        round(max(chance_quantile) * (1 / max(reference_rows) + 1 / max(slice_customers)), 9) as psi_by_chance,
        max(case when bin_kind = 'missing' then expected_share end) as missing_share_then,
        max(case when bin_kind = 'missing' then share end) as missing_share,
        max(case when bin_kind = 'other' then share - expected_share end) as new_share,
        max(case when bin_kind = 'other' then customers end) as new_customers,
        least(max(sized_rows_then), max(sized_customers)) as sized_rows
    from bins
    group by as_of_date, feature, slice

),

judged as (

    select
        shifts.*,
        schema_rows.ages,
        max(case when slice = 'all' then psi end) over (partition by shifts.feature) as whole_psi,
        {{ stability_status('shifts.psi', 'shifts.psi_by_chance') }} as psi_status,
        slice = 'all' and coalesce(
            shifts.role = 'categorical'
            and shifts.new_share >= limits.new_category_share
            and shifts.new_customers >= limits.new_category_customers, false
        ) as has_new_category,
        slice = 'all' and {{ missing_jumped() }} as has_missing_jump,
        slice = 'all' and coalesce(
            not schema_rows.ages and shifts.sized_rows >= limits.unit_rows
            and (
                shifts.median_size > greatest(shifts.upper_size_then, limits.unit_factor * shifts.median_size_then)
                or shifts.median_size < least(shifts.lower_size_then, shifts.median_size_then / limits.unit_factor)
            ), false
        ) as has_changed_unit
    from shifts
    inner join schema_rows on shifts.feature = schema_rows.feature
    cross join limits

),

-- A slice is listed where it moved by itself: more than twice as far as all customers together.
findings as (

    select
        {% for column, type in {
            'as_of_date': 'date', 'feature': 'string', 'slice': 'string', 'role': 'string', 'customers': 'bigint',
            'psi': 'double', 'psi_by_chance': 'double', 'missing_share_then': 'double', 'missing_share': 'double',
            'new_share': 'double', 'new_values': 'string', 'median_size_then': 'double',
            'lower_size_then': 'double', 'upper_size_then': 'double', 'median_size': 'double',
            'has_new_category': 'boolean', 'has_missing_jump': 'boolean', 'has_changed_unit': 'boolean',
        }.items() -%}
            cast({{ column }} as {{ type }}) as {{ column }},
        {% endfor -%}
        cast(
            case
                when has_changed_unit or has_missing_jump then 'error'
                when ages then 'exempt'
                when psi_status = 'ok' and has_new_category then 'warn'
                else psi_status
            end as string
        ) as status,
        cast(pipeline_version as string) as pipeline_version
    from judged
    where whole_psi is not null
        and (slice = 'all' or (psi_status <> 'ok' and not ages and psi > 2 * whole_psi))

)

select * from findings
