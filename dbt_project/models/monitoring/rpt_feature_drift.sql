{{ run_log() }}

with shifts as (

    select * from {{ ref('int_feature_shifts') }}

),

schema_rows as (

    select * from {{ ref('int_feature_schema') }}

),

limits as (

    select * from {{ ref('int_monitoring_limits') }}

),

judged as (

    select
        shifts.*,
        schema_rows.ages,
        {{ stability_status('shifts.psi', 'shifts.psi_by_chance') }} as psi_status,
        coalesce(
            shifts.role = 'categorical'
            and shifts.new_share >= limits.new_category_share
            and shifts.new_customers >= limits.new_category_customers, false
        ) as has_new_category,
        cast({{ missing_jumped() }} as boolean) as has_missing_jump,
        coalesce(
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

whole as (

    select
        feature,
        psi as whole_psi
    from judged
    where slice = 'all'

),

-- A slice is listed where it moved by itself: more than twice as far as everybody together.
listed as (

    select judged.*
    from judged
    inner join whole on judged.feature = whole.feature
    where judged.slice = 'all'
        or (judged.psi_status <> 'ok' and not judged.ages and judged.psi > 2 * whole.whole_psi)

),

findings as (

    select
        {% for column, type in {
            'as_of_date': 'date', 'feature': 'varchar', 'slice': 'varchar', 'role': 'varchar', 'customers': 'bigint',
            'psi': 'double', 'psi_by_chance': 'double', 'missing_share_then': 'double', 'missing_share': 'double',
            'new_share': 'double', 'new_values': 'varchar', 'median_size_then': 'double',
            'lower_size_then': 'double', 'upper_size_then': 'double', 'median_size': 'double',
        }.items() -%}
            cast({{ column }} as {{ type }}) as {{ column }},
        {% endfor -%}
        cast(slice = 'all' and has_new_category as boolean) as has_new_category,
        cast(slice = 'all' and has_missing_jump as boolean) as has_missing_jump,
        cast(slice = 'all' and has_changed_unit as boolean) as has_changed_unit,
        cast(
            case
                when slice = 'all' and (has_changed_unit or has_missing_jump) then 'error'
                when ages then 'exempt'
                when psi_status = 'ok' and has_new_category then 'warn'
                else psi_status
            end as varchar
        ) as status,
        cast(pipeline_version as varchar) as pipeline_version
    from listed

)

select * from findings
