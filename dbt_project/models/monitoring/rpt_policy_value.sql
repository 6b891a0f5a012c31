{{ config(materialized='table') }}

with said as (

    select * from {{ ref('policy_value_history') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

-- Of a month the newest revision counts, of the totals the newest month's.
ranked as (

    select
        said.*,
        row_number() over (
            partition by method, period
            order by last_month desc, revision desc
        ) as newest_first
    from said

),

policy_value as (

    select
        cast(ranked.period as string) as period,
        cast(ranked.method as string) as method,
        cast(ranked.estimand as string) as estimand,
        cast(ranked.first_month as date) as first_month,
        cast(ranked.last_month as date) as last_month,
        cast(ranked.months as integer) as months,
        cast(ranked.assignment as string) as assignment,
        cast(ranked.customers as bigint) as customers,
        cast(ranked.episodes as bigint) as episodes,
        cast(ranked.controls as bigint) as controls,
        cast(ranked.treated_leavers as bigint) as treated_leavers,
        cast(ranked.control_leavers as bigint) as control_leavers,
        cast(ranked.contaminated_controls as bigint) as contaminated_controls,
        cast(ranked.realised_value as double) as realised_value,
        cast(ranked.value_to_come as double) as value_to_come,
        cast(ranked.value as double) as value,
        cast(ranked.value_per_month as double) as value_per_month,
        cast(ranked.value_per_unit as double) as value_per_unit,
        cast(ranked.standard_error as double) as standard_error,
        cast(ranked.value_low as double) as value_low,
        cast(ranked.value_high as double) as value_high,
        cast(ranked.value_low_every_look as double) as value_low_every_look,
        cast(ranked.value_high_every_look as double) as value_high_every_look,
        cast(ranked.is_distinguishable as boolean) as is_distinguishable,
        cast(ranked.verdict as string) as verdict,
        cast(ranked.months_needed as integer) as months_needed,
        cast(ranked.reason as string) as reason,
        cast(ranked.planned_information as double) as planned_information,
        cast(ranked.revision as integer) as revision,
        cast(ranked.revision_reason as string) as revision_reason,
        cast(ranked.newest_first = 1 as boolean) as is_latest,
        cast(ranked.method = parameters.headline_figure as boolean) as is_headline,
        cast(parameters.currency as string) as currency
    from ranked
    cross join parameters

)

select * from policy_value
