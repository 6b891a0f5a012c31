-- Actions that contacts in quarantine name, and when they were executed, as far as known at the date of the run.
with run as (

    select * from {{ ref('int_run') }}

),

-- A contact that is dated after the end of the data is known then.
executions as (

    select
        cast(reported.action_id as string) as action_id,
        cast(min(case when reported.is_day_reported then reported.contacted_on end) as date) as executed_on
    from {{ contacts_that_exclude() }} as reported
    inner join run on least(reported.contacted_on, run.data_ends_on) <= run.as_of_date
    where reported.action_id is not null and reported.is_set_aside
    group by reported.action_id

)

select * from executions
