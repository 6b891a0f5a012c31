{{ config(materialized='table') }}

{% set tables = {
    'customers': 'signed_up_on',
    'consents': 'recorded_on',
    'subscriptions': 'started_on',
    'activity': 'occurred_on',
    'payments': 'known_on',
    'support_tickets': 'opened_on',
    'retention_contacts': 'contacted_on',
} -%}

with run as (

    select * from {{ ref('int_run') }}

),

limits as (

    select * from {{ ref('int_monitoring_limits') }}

),

earlier_volume as (

    select *
    from {{ earlier_runs('rpt_run_volume', {
        'as_of_date': 'date', 'measure': 'string', 'item': 'string', 'row_count': 'bigint',
    }) }} as volume

),

previous_run as (

    select
        run.as_of_date,
        run.data_ends_on,
        max(earlier_volume.as_of_date) as previous_as_of_date
    from run
    cross join limits
    left join earlier_volume
        on run.as_of_date >= earlier_volume.as_of_date
            and earlier_volume.as_of_date >= {{ add_days('run.as_of_date', '-limits.compared_days') }}
            and earlier_volume.measure = 'valid_rows'
    group by run.as_of_date, run.data_ends_on

),

tables as (

    {% for table in tables -%}
        select
            'stg_{{ table }}' as staging_model,
            '{{ feed_of_table(table) }}' as feed
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

days as (

    {% for table, day in tables.items() -%}
        select
            'stg_{{ table }}' as staging_model,
            {{ day }} as day,
            quarantine_reason is null as is_valid,
            {{ 'sum(events)' if table == 'activity' else 'count(*)' }} as day_rows
        from {{ ref('int_activity_days' if table == 'activity' else 'int_checked_' ~ table) }}
        group by {{ day }}, quarantine_reason is null
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

-- Rows of days after the run do not count, so that a past date sees what it saw then. Days after the data are a fault.
counted as (

    select
        tables.staging_model,
        tables.feed,
        sum(case
            when days.day > previous_run.as_of_date and days.day <= previous_run.data_ends_on then 0 else days.day_rows
        end) as delivered_rows,
        sum(case
            when days.day > previous_run.as_of_date and days.day <= previous_run.data_ends_on then 0
            when days.is_valid then days.day_rows
            else 0
        end) as valid_rows,
        sum(case
            when days.is_valid
                and coalesce(days.day, previous_run.previous_as_of_date) <= previous_run.previous_as_of_date
                then days.day_rows
            else 0
        end) as valid_rows_until_previous_run,
        sum(case
            when days.day > previous_run.previous_as_of_date and days.day <= previous_run.as_of_date then days.day_rows
            else 0
        end) as delivered_rows_since,
        sum(case
            when days.is_valid and days.day > previous_run.previous_as_of_date and days.day <= previous_run.as_of_date
                then days.day_rows
            else 0
        end) as valid_rows_since
    from tables
    cross join previous_run
    left join days on tables.staging_model = days.staging_model
    group by tables.staging_model, tables.feed

),

counts as (

    select
        cast(previous_run.as_of_date as date) as as_of_date,
        cast(counted.staging_model as string) as staging_model,
        cast(counted.feed as string) as feed,
        cast(coalesce(counted.delivered_rows, 0) as bigint) as delivered_rows,
        cast(coalesce(counted.valid_rows, 0) as bigint) as valid_rows,
        cast(coalesce(counted.valid_rows_until_previous_run, 0) as bigint) as valid_rows_until_previous_run,
        cast(coalesce(counted.delivered_rows_since, 0) as bigint) as delivered_rows_since,
        cast(coalesce(counted.valid_rows_since, 0) as bigint) as valid_rows_since,
        cast(previous_run.previous_as_of_date as date) as previous_as_of_date,
        cast(delivered_then.row_count as bigint) as previous_delivered_rows,
        cast(valid_then.row_count as bigint) as previous_valid_rows
    from counted
    cross join previous_run
    left join earlier_volume as delivered_then
        on counted.staging_model = delivered_then.item
            and previous_run.previous_as_of_date = delivered_then.as_of_date
            and delivered_then.measure = 'delivered_rows'
    left join earlier_volume as valid_then
        on counted.staging_model = valid_then.item
            and previous_run.previous_as_of_date = valid_then.as_of_date
            and valid_then.measure = 'valid_rows'

)

select * from counts
