-- Actions that any reported contact names: a broken row excludes a second contact all the same.
with contacts as (

    select * from {{ contacts_that_exclude() }} as reported

),

executed as (

    select
        cast(action_id as string) as action_id,
        cast(min(case when is_day_reported then contacted_on end) as date) as executed_on
    from contacts
    where action_id is not null
    group by action_id

)

select * from executed
