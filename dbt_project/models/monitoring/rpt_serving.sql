-- What the service decided, by day. Latency is that of requests for a single customer. Those who ask are not all
-- customers: that they differ from the population at training is no fault by itself, a jump from day to day may be one.
with decisions as (

    select * from {{ ref('int_served_decisions') }}

),

reference_bins as (

    select * from {{ ref('int_reference_bins') }}

),

schema_rows as (

    select * from {{ ref('int_feature_schema') }}

),

limits as (

    select * from {{ ref('int_monitoring_limits') }}

),

dated as (

    select
        *,
        cast(decided_at as date) as day
    from decisions

),

totals as (

    select
        day,
        pipeline_version,
        count(*) as decisions,
        count(distinct customer_id) as customers,
        sum(case when decided_by = 'unknown' then 1 else 0 end) as unknown_customers,
        sum(case when opens_episode then 1 else 0 end) as episodes_opened,
        sum(case when opens_episode and action <> 'no_action' then 1 else 0 end) as contacts_promised,
        sum(case when opens_episode then cast(round(coalesce(expected_cost, 0) * 100) as bigint) else 0 end)
            as promised_cents,
        {% for name, share in {'p50': '0.5', 'p95': '0.95', 'p99': '0.99'}.items() -%}
            {{ quantile_of('case when customers_in_request = 1 then latency_ms end', share) }} as latency_{{ name }},
        {% endfor -%}
        avg(case when nightly_action is not null then case when action = nightly_action then 1 else 0 end end)
            as nightly_share
    from dated
    group by day, pipeline_version

),

bins as (

    select
        day,
        pipeline_version,
        {{ map_rows('feature_bins', 'feature', 'bin_position') }}
    from dated

),

counted as (

    select
        day,
        pipeline_version,
        feature,
        bin_position,
        count(*) as rows_in_bin
    from bins
    group by day, pipeline_version, feature, bin_position

),

-- Only the deployed pipeline's own bins can be compared.
compared as (

    select
        totals.day,
        totals.pipeline_version,
        totals.decisions,
        reference_bins.feature,
        reference_bins.expected_share,
        reference_bins.reference_rows,
        reference_bins.chance_quantile,
        coalesce(counted.rows_in_bin, 0) / cast(totals.decisions as double) as share,
        {{ smallest_share('reference_bins.reference_rows', 'totals.decisions') }} as smallest_share
    from totals
    inner join reference_bins
        on totals.pipeline_version = reference_bins.pipeline_version and reference_bins.slice = 'all'
    cross join limits
    left join counted
        on totals.day = counted.day
            and totals.pipeline_version = counted.pipeline_version
            and reference_bins.feature = counted.feature
            and reference_bins.bin_position = counted.bin_position

),

shifts as (

    select
        day,
        pipeline_version,
        feature,
        sum({{ population_stability('share', 'expected_share', 'smallest_share') }}) / 1000000000 as psi,
        round(max(chance_quantile) * (1 / max(reference_rows) + 1 / max(decisions)), 9) as psi_by_chance
    from compared
    group by day, pipeline_version, feature

),

judged as (

    select
        shifts.*,
        {{ stability_status('shifts.psi', 'shifts.psi_by_chance') }} as status
    from shifts
    cross join limits
    left join schema_rows on shifts.feature = schema_rows.feature
    where not coalesce(schema_rows.ages, false)

),

-- A feature within its limit may lie further beyond chance than one that has moved.
ranked as (

    select
        judged.*,
        row_number() over (
            partition by day, pipeline_version
            order by case status when 'ok' then 1 else 0 end, psi - psi_by_chance desc, feature asc
        ) as shift_rank
    from judged

),

drift as (

    select
        day,
        pipeline_version,
        sum(case when status <> 'ok' then 1 else 0 end) as drifted_features,
        max(case when shift_rank = 1 and status <> 'ok' then feature end) as most_moved_feature,
        max(case when shift_rank = 1 and status <> 'ok' then psi end) as most_moved_psi
    from ranked
    group by day, pipeline_version

),

report as (

    select
        cast(totals.day as date) as day,
        cast(totals.pipeline_version as string) as pipeline_version,
        cast(totals.decisions as bigint) as decisions,
        cast(totals.customers as bigint) as customers,
        cast(totals.unknown_customers as bigint) as unknown_customers,
        cast(totals.episodes_opened as bigint) as episodes_opened,
        cast(totals.contacts_promised as bigint) as contacts_promised,
        cast(totals.promised_cents / 100 as double) as promised_cost,
        cast(round(totals.latency_p50, 3) as double) as latency_p50_ms,
        cast(round(totals.latency_p95, 3) as double) as latency_p95_ms,
        cast(round(totals.latency_p99, 3) as double) as latency_p99_ms,
        cast(round(totals.nightly_share, 6) as double) as equal_to_nightly_share,
        cast(drift.drifted_features as bigint) as drifted_features,
        cast(drift.most_moved_feature as string) as most_moved_feature,
        cast(drift.most_moved_psi as double) as most_moved_psi
    from totals
    left join drift on totals.day = drift.day and totals.pipeline_version = drift.pipeline_version

)

select * from report
