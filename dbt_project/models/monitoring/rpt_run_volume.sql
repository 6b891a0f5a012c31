{{ run_log() }}

with run as (

    select * from {{ ref('int_run') }}

),

history as (

    select * from {{ ref('retention_actions_history') }}

),

rejected as (

    select * from {{ ref('quarantine') }}

),

table_counts as (

    select * from {{ ref('int_table_counts') }}

),

decisions as (

    select history.*
    from history
    inner join run on history.as_of_date = run.as_of_date

),

plans as (

    select
        as_of_date,
        case when {{ is_withdrawn_trial('decisions') }} then 'no_action' else planned_action end as planned_action
    from decisions

),

counted as (

    select
        as_of_date,
        'customers_at_risk' as measure,
        'all' as item,
        'all' as detail,
        count(*) as row_count
    from decisions
    group by as_of_date
    union all
    select
        as_of_date,
        'planned_action' as measure,
        planned_action as item,
        'all' as detail,
        count(*) as row_count
    from plans
    group by as_of_date, planned_action
    union all
    select
        as_of_date,
        'arm' as measure,
        arm as item,
        coalesce(suppression_reason, 'all') as detail,
        count(*) as row_count
    from decisions
    group by as_of_date, arm, coalesce(suppression_reason, 'all')
    union all
    select
        run.as_of_date,
        'quarantined' as measure,
        rejected.staging_model as item,
        rejected.quarantine_reason as detail,
        count(*) as row_count
    from rejected
    cross join run
    group by run.as_of_date, rejected.staging_model, rejected.quarantine_reason
    {% for measure in ['delivered_rows', 'valid_rows'] -%}
        union all
        select
            as_of_date,
            '{{ measure }}' as measure,
            staging_model as item,
            'all' as detail,
            {{ measure }} as row_count
        from table_counts
    {% endfor %}

),

volume as (

    select
        cast(as_of_date as date) as as_of_date,
        cast(measure as string) as measure,
        cast(item as string) as item,
        cast(detail as string) as detail,
        cast(row_count as bigint) as row_count
    from counted

)

select * from volume
