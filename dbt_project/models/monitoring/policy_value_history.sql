{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['method', 'period', 'last_month', 'revision'],
    full_refresh=false,
    on_schema_change='append_new_columns',
) }}

with said as (

    select * from {{ ref('int_policy_value') }}
    {%- if history_is_elsewhere() %}
    union all
    select * from {{ ref('int_earlier_policy_value') }}
    {%- endif %}

),

policy_value as (

    select
        cast(said.period as string) as period,
        cast(said.method as string) as method,
        cast(said.estimand as string) as estimand,
        cast(said.first_month as date) as first_month,
        cast(said.last_month as date) as last_month,
        cast(said.months as integer) as months,
        cast(said.assignment as string) as assignment,
        cast(said.customers as bigint) as customers,
        cast(said.episodes as bigint) as episodes,
        cast(said.controls as bigint) as controls,
        cast(said.treated_leavers as bigint) as treated_leavers,
        cast(said.control_leavers as bigint) as control_leavers,
        cast(said.contaminated_controls as bigint) as contaminated_controls,
        cast(said.realised_value as double) as realised_value,
        cast(said.value_to_come as double) as value_to_come,
        cast(said.value as double) as value,
        cast(said.value_per_month as double) as value_per_month,
        cast(said.value_per_unit as double) as value_per_unit,
        cast(said.standard_error as double) as standard_error,
        cast(said.value_low as double) as value_low,
        cast(said.value_high as double) as value_high,
        cast(said.value_low_every_look as double) as value_low_every_look,
        cast(said.value_high_every_look as double) as value_high_every_look,
        cast(said.is_distinguishable as boolean) as is_distinguishable,
        cast(said.verdict as string) as verdict,
        cast(said.months_needed as integer) as months_needed,
        cast(said.reason as string) as reason,
        cast(said.planned_information as double) as planned_information,
        cast(said.revision as integer) as revision,
        cast(said.revision_reason as string) as revision_reason
    from said

)

select * from policy_value
