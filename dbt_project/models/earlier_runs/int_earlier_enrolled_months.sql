-- Enrolled customers at the end of the latest month that earlier runs have finished.
{% set columns = {
    'customer_id': 'string', 'outcome_month': 'date', 'first_month': 'date', 'assignment': 'string',
    'is_untouched': 'boolean', 'enrolled_on': 'date', 'at_enrolment_cents': 'bigint', 'value_cents': 'bigint',
    'realised_cents': 'bigint', 'to_come_cents': 'bigint', 'has_left': 'boolean', 'is_contaminated': 'boolean',
} -%}

with enrolled_months as (

    select * from {{ earlier_runs('int_enrolled_months', columns) }} as earlier_runs

),

-- Read by itself: a step that is read twice is read whole.
latest as (

    select max(outcome_month) as latest_month
    from {{ earlier_runs('int_enrolled_months', {'outcome_month': 'date'}) }} as months

),

enrolled as (

    select enrolled_months.*
    from enrolled_months
    inner join latest on enrolled_months.outcome_month = latest.latest_month

)

select * from enrolled
