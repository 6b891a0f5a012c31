{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='as_of_date',
    on_schema_change='append_new_columns',
    pre_hook='{{ forget_later_decisions() }}',
) }}

-- What later runs still read of the decisions of earlier ones: those in which an offer was planned or drawn, and the
-- first of each customer and calendar month. History of an earlier date does not change any more, so each date is read
-- once.
with run as (

    select * from {{ ref('int_run') }}

),

history as (

    select * from {{ earlier_runs('retention_actions_history', previous_columns()) }} as earlier_runs

),

-- Named apart: a step that is read twice is held whole, and history may be a year of nights.
history_days as (

    select *
    from {{ earlier_runs('retention_actions_history', {
        'customer_id': 'string', 'as_of_date': 'date',
    }) }} as earlier_days

),

kept as (

    select *
    from {{ own_earlier_runs('int_kept_decisions', {
        'customer_id': 'string', 'as_of_date': 'date', 'is_first_of_month': 'boolean',
    }) }} as earlier_runs
    where {{ 'true' if builds_on_what_is_kept() else 'false' }}

),

-- Read by itself: a step that is read twice is read whole.
last_kept as (

    select coalesce(max(as_of_date), cast('1900-01-01' as date)) as as_of_date
    from {{ own_earlier_runs('int_kept_decisions', {'as_of_date': 'date'}) }} as kept_dates
    where {{ 'true' if builds_on_what_is_kept() else 'false' }}

),

further as (

    select history.*
    from history
    inner join last_kept on history.as_of_date > last_kept.as_of_date
    inner join run on history.as_of_date < run.as_of_date

),

further_days as (

    select
        history_days.customer_id,
        history_days.as_of_date,
        cast(date_trunc('month', history_days.as_of_date) as date) as month
    from history_days
    inner join last_kept on history_days.as_of_date > last_kept.as_of_date
    inner join run on history_days.as_of_date < run.as_of_date

),

-- Customers whose first decision of the month is kept; others of an earlier month cannot be among the further ones.
month_begun as (

    select cast(date_trunc('month', as_of_date) as date) as month
    from last_kept

),

known_this_month as (

    select
        kept.customer_id,
        month_begun.month
    from kept
    inner join month_begun on kept.as_of_date >= month_begun.month
    where kept.is_first_of_month

),

first_days as (

    select
        further_days.customer_id,
        further_days.month,
        min(further_days.as_of_date) as as_of_date
    from further_days
    left join known_this_month
        on further_days.customer_id = known_this_month.customer_id and further_days.month = known_this_month.month
    where known_this_month.customer_id is null
    group by further_days.customer_id, further_days.month

),

decisions as (

    select
        {% for column in previous_columns() -%}
            further.{{ column }},
        {% endfor -%}
        cast(first_days.customer_id is not null as boolean) as is_first_of_month
    from further
    left join first_days
        on further.customer_id = first_days.customer_id and further.as_of_date = first_days.as_of_date
    where first_days.customer_id is not null
        or {{ opens_episode('further.arm') }}
        or further.action <> 'no_action'
        or further.planned_action <> 'no_action'
        or further.propensity_no_action < 1

)

select * from decisions
