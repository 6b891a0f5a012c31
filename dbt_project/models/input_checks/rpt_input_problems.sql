{{ config(materialized='table', post_hook='{{ warn_of_input_problems() }}') }}

with found as (

    select
        1 as source_number,
        table_problems.*
    from {{ ref('int_table_problems') }} as table_problems
    union all
    select
        2 as source_number,
        feed_problems.*
    from {{ ref('int_feed_problems') }} as feed_problems
    union all
    select
        3 as source_number,
        population.*
    from ({{ population_problems() }}) as population
    union all
    select
        4 as source_number,
        signs.*
    from {{ ref('int_subscription_signs') }} as signs

),

-- Lost contacts only warn: few contacts may mean few executed actions, and a broken row still excludes its customer.
judged as (

    select
        *,
        case
            when source_number = 2 then 'stop'
            when source_number = 4 or subject = 'retention contacts' then 'warn'
            when {{ is_declared('subject', 'lost', 'warn') }} then 'warn'
            else 'stop'
        end as severity
    from found
    where source_number = 4 or not {{ is_declared('subject', 'lost', 'ignore') }}

),

-- A lost table of customers explains losses of all others, so it comes first.
problems as (

    select
        cast(as_of_date as date) as as_of_date,
        cast(row_number() over (
            order by
                source_number asc,
                case when subject = 'customers' then 0 else 1 end asc,
                share desc,
                subject asc,
                problem asc
        ) as integer) as problem_number,
        cast(subject as varchar) as subject,
        cast(staging_model as varchar) as staging_model,
        cast(problem as varchar) as problem,
        cast(case
            when severity = 'stop' and {{ is_allowed_loss('subject') }} then 'allowed'
            else severity
        end as varchar) as status,
        cast(share as double) as share,
        cast(rows_now as bigint) as rows_now,
        cast(rows_then as bigint) as rows_then,
        cast(compared_with as date) as compared_with,
        cast(first_values as varchar) as first_values,
        cast(description as varchar) as description
    from judged

)

select * from problems
