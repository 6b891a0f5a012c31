{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['customer_id', 'outcome_month'],
    partition_by=partition_column('outcome_month'),
    full_refresh=false,
    on_schema_change='append_new_columns',
) }}

{% set columns = {
    'customer_id': 'string', 'outcome_month': 'date', 'first_month': 'date', 'assignment': 'string',
    'is_untouched': 'boolean', 'enrolled_on': 'date', 'at_enrolment_cents': 'bigint', 'value_cents': 'bigint',
    'month_realised_cents': 'bigint', 'realised_cents': 'bigint', 'to_come_cents': 'bigint',
    'to_come_before_cents': 'bigint', 'has_left': 'boolean', 'left_this_month': 'boolean', 'is_contaminated': 'boolean',
} -%}

-- Finished months are kept: each adds its flows to the state that the month before it left.
with windows as (

    select * from {{ ref('int_enrolled_windows') }}

),

flows as (

    select * from {{ ref('int_enrolled_flows') }}

),

earlier as (

    select * from {{ ref('int_earlier_enrolled_months') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

discounted as (

    select
        windows.*,
        flows.has_left,
        flows.is_contacted,
        power(
            1.0 + parameters.annual_discount_rate,
            -{{ days_between('windows.enrolled_on', 'windows.closes_on') }} / 365
        ) as discount,
        flows.margin_cents - flows.cost_cents as flow_cents
    from windows
    inner join flows
        on windows.customer_id = flows.customer_id and windows.outcome_month = flows.outcome_month
    cross join parameters

),

in_cents as (

    select
        discounted.*,
        cast(round(discount * flow_cents) as bigint) as month_realised_cents,
        cast(case when has_left then 0 else round(discount * value_cents) end as bigint) as to_come_cents
    from discounted

),

enrolled_months as (

    select
        cast(in_cents.customer_id as string) as customer_id,
        cast(in_cents.outcome_month as date) as outcome_month,
        cast(in_cents.first_month as date) as first_month,
        cast(in_cents.assignment as string) as assignment,
        cast(in_cents.is_untouched as boolean) as is_untouched,
        cast(in_cents.enrolled_on as date) as enrolled_on,
        cast(in_cents.at_enrolment_cents as bigint) as at_enrolment_cents,
        cast(in_cents.value_cents as bigint) as value_cents,
        cast(in_cents.month_realised_cents as bigint) as month_realised_cents,
        cast(
            coalesce(earlier.realised_cents, 0)
            + sum(in_cents.month_realised_cents) over months_so_far as bigint
        ) as realised_cents,
        cast(in_cents.to_come_cents as bigint) as to_come_cents,
        cast(
            coalesce(
                lag(in_cents.to_come_cents) over months_in_order, earlier.to_come_cents, in_cents.at_enrolment_cents
            ) as bigint
        ) as to_come_before_cents,
        cast(in_cents.has_left as boolean) as has_left,
        cast(
            in_cents.has_left
            and not coalesce(lag(in_cents.has_left) over months_in_order, earlier.has_left, false) as boolean
        ) as left_this_month,
        cast(
            in_cents.is_untouched and (
                coalesce(earlier.is_contaminated, false)
                or max(case when in_cents.is_contacted then 1 else 0 end) over months_so_far = 1
            ) as boolean
        ) as is_contaminated
    from in_cents
    left join earlier
        on in_cents.customer_id = earlier.customer_id and in_cents.assignment = earlier.assignment
    window
        months_in_order as (partition by in_cents.customer_id, in_cents.assignment order by in_cents.outcome_month),
        months_so_far as (
            partition by in_cents.customer_id, in_cents.assignment
            order by in_cents.outcome_month
            rows between unbounded preceding and current row
        )
    {%- if history_is_elsewhere() %}
    union all
    select *
    from {{ earlier_runs('int_enrolled_months', columns) }} as kept_elsewhere
    {%- endif %}

)

select * from enrolled_months
