{{ config(materialized='table') }}
{{ check_source_name() }}
{{ check_raw_tables() }}

{% set no_last_day = error_text(
    "data_ends_on of the source '" ~ var("source") ~ "' is ", "coalesce(cast(data_ends_on as string), 'null')",
    ": no row of the raw data gives it a day. Where: dbt_project/sources/" ~ var("source")
    ~ "/sources.yml. Next: load data, or declare a day"
) -%}
{% set after_the_data = error_text(
    "as_of_date ", "as_of_date", " lies after the last day of the data, ", "data_ends_on",
    "; choose an earlier --vars as_of_date, or load later data and its data_ends_on"
) -%}
{% set before_the_data = error_text(
    "as_of_date ", "as_of_date", " lies before the first day of the data, ", "data_starts_on",
    "; choose a --vars as_of_date up to ", "data_ends_on", ""
) -%}
{% set before_the_history = error_text(
    "as_of_date ", "as_of_date", " lies before the latest decisions in retention_actions_history, ",
    "latest_history_date", "; only the latest date can be run again: choose it, or a later --vars as_of_date"
) -%}

{% set columns = {'action_id': 'string', 'as_of_date': 'date'} -%}

with customers as (

    select * from {{ ref('stg_customers') }}

),

activity as (

    select * from {{ ref('stg_activity') }}

),

contacts as (

    select * from {{ ref('stg_retention_contacts') }}

),

activity_map as (

    select * from {{ ref('activity_map') }}

),

earlier_actions as (

    select *
    from {{ earlier_runs('retention_actions_history', columns) }} as history
    {%- if history_is_elsewhere() %}
    union all
    select *
    from {{ own_earlier_runs('retention_actions_history', columns) }} as own_history
    {%- endif %}

),

-- Read by itself: a step that is read twice is read whole.
earlier_dates as (

    select *
    from {{ earlier_runs('retention_actions_history', {'as_of_date': 'date'}) }} as history

),

-- A few stray days far before all others do not start the data.
active_days as (

    select
        cast(occurred_at as date) as day,
        count(*) as day_rows
    from activity
    where occurred_at is not null and not {{ is_placeholder_day('occurred_at') }}
    group by cast(occurred_at as date)

),

sign_up_days as (

    select
        signed_up_on as day,
        count(*) as day_rows
    from customers
    where signed_up_on is not null and not {{ is_placeholder_day('signed_up_on') }}
    group by signed_up_on

),

first_active_day as (

    {{ first_day_without_strays('active_days') }}

),

first_sign_up_day as (

    {{ first_day_without_strays('sign_up_days') }}

),

data_range as (

    select
        coalesce(first_active_day.first_day, first_sign_up_day.first_day) as data_starts_on,
        {{ data_ends_on() }} as data_ends_on
    from first_active_day
    cross join first_sign_up_day

),

requested as (

    select
        data_range.*,
        {% if var('as_of_date', none) is none -%}
            data_range.data_ends_on as as_of_date
        {%- else -%}
            cast('{{ var("as_of_date") }}' as date) as as_of_date
        {%- endif %}
    from data_range

),

latest_history as (

    select max(as_of_date) as latest_history_date
    from earlier_dates

),

begun as (

    select count(*) as executed_actions
    from requested
    inner join earlier_actions on requested.as_of_date = earlier_actions.as_of_date
    inner join contacts on earlier_actions.action_id = contacts.action_id
    where {{ 'false' if history_is_elsewhere() else 'true' }} -- what is executed is decided elsewhere

),

activity_meaning as (

    select
        cast(md5(coalesce({{ join_text(
            "activity_type || '=' || meaning || '/' || cast(try_cast(counts_as_event as boolean) as string)", "','",
            "activity_type, meaning"
        ) }}, '')) as string) as activity_map_hash
    from activity_map

),

checked as (

    select
        cast('{{ var("source") }}' as string) as source,
        cast(
            case
                when data_ends_on is null then {{ raise_error(no_last_day) }}
                when as_of_date > data_ends_on then {{ raise_error(after_the_data) }}
                when as_of_date < data_starts_on then {{ raise_error(before_the_data) }}
                when as_of_date < latest_history_date then {{ raise_error(before_the_history) }}
                else as_of_date
            end as date
        ) as as_of_date,
        cast(data_starts_on as date) as data_starts_on,
        cast(data_ends_on as date) as data_ends_on,
        cast(latest_history_date as date) as latest_history_date,
        cast(executed_actions > 0 as boolean) as is_frozen,
        cast(activity_map_hash as string) as activity_map_hash,
        cast({{ var('retrain', false) }} as boolean) as retrain,
        cast({{ var('allow_miscalibrated', false) }} as boolean) as allow_miscalibrated,
        cast('{{ invocation_id }}' as string) as dbt_invocation_id,
        cast({{ sql_text(var('history_from')) if history_is_elsewhere() else 'null' }} as string) as history_from
    from requested
    cross join latest_history
    cross join begun
    cross join activity_meaning
    where {{ 'false' if flags.EMPTY else 'true' }} -- an --empty build has no run, and so nothing to decide

)

select * from checked
