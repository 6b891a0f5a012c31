{{ config(materialized='table') }}

-- An event that no window holds lies longer ago than all others: its missing days count as infinite.
{% set infinity = "cast('infinity' as double)" -%}

with features as (

    select * from {{ ref('customer_features') }}

),

feature_reasons as (

    select * from {{ ref('int_feature_reasons') }}

),

run as (

    select * from {{ ref('int_run') }}

),

medians as (

    {% for feature in declared_reasons() if 'high' == feature.upper_direction or 'low' == feature.lower_direction -%}
        select
            '{{ feature.feature }}' as feature,
            median(
                {%- if feature.measure == 'recency' -%}
                    coalesce({{ reason_value(feature) }}, {{ infinity }})
                {%- else -%}
                    {{ reason_value(feature) }}
                {%- endif -%}
            ) as population_median
        from features
        where as_of_date in (select as_of_date from run)
        union all
    {% endfor -%}
    select
        cast(null as string) as feature,
        cast(null as double) as population_median
    where false

),

-- An edge of null admits every known value. Without a finite median nothing is known to lie above it.
edges as (

    select
        feature_reasons.*,
        run.as_of_date,
        nullif(medians.population_median, {{ infinity }}) as population_median,
        case when medians.population_median < {{ infinity }} or upper_direction <> 'high' then upper_direction end
            as citable_above,
        case when medians.population_median is not null or lower_direction <> 'low' then lower_direction end
            as citable_below
    from feature_reasons
    cross join run
    left join medians on feature_reasons.feature = medians.feature

),

population as (

    select
        cast(feature as string) as feature,
        cast(as_of_date as date) as as_of_date,
        cast(family as string) as family,
        cast(population_median as double) as population_median,
        cast(citable_above as string) as upper_direction,
        cast(
            case
                when citable_above = 'high' then population_median
                when citable_above = 'rising' then 1
                when citable_above = 'present' and measure not in ('recency', 'category') then 0
            end as double
        ) as upper_edge,
        cast(citable_below as string) as lower_direction,
        cast(
            case
                when citable_below = 'low' then population_median
                when citable_below = 'falling' then 1
            end as double
        ) as lower_edge
    from edges

)

select * from population
