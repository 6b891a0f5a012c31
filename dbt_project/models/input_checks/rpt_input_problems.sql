{{ config(materialized='table', post_hook='{{ warn_of_input_problems() }}') }}

-- Everything found wrong with the input of this run, by four checks. check_number is the order in which they are named:
-- a table that lost rows explains why feeds fell, and both explain why fewer customers are at risk.
with found as (

    select
        1 as check_number,
        'table' as check_name,
        table_problems.*
    from {{ ref('int_table_problems') }} as table_problems
    union all
    select
        2 as check_number,
        'feed' as check_name,
        feed_problems.*
    from {{ ref('int_feed_problems') }} as feed_problems
    union all
    select
        3 as check_number,
        'population' as check_name,
        population.*
    from ({{ population_problems() }}) as population
    union all
    select
        4 as check_number,
        'sign' as check_name,
        signs.*
    from {{ ref('int_subscription_signs') }} as signs

),

-- Lost contacts only warn: few contacts may mean few executed actions, and a broken row still excludes its customer.
judged as (

    select
        *,
        case
            when check_name = 'feed' then 'stop'
            when check_name = 'sign' or subject = 'retention contacts' then 'warn'
            when {{ is_declared('subject', 'lost', 'warn') }} then 'warn'
            else 'stop'
        end as severity
    from found
    where check_name = 'sign' or not {{ is_declared('subject', 'lost', 'ignore') }}

),

-- A lost table of customers explains losses of all others, so it comes first.
problems as (

    select
        cast(as_of_date as date) as as_of_date,
        cast(row_number() over (
            order by
                check_number asc,
                case when subject = 'customers' then 0 else 1 end asc,
                share desc,
                subject asc,
                problem asc
        ) as integer) as problem_number,
        cast(subject as string) as subject,
        cast(staging_model as string) as staging_model,
        cast(problem as string) as problem,
        cast(case
            when severity = 'stop' and {{ is_allowed_loss('subject') }} then 'allowed'
            else severity
        end as string) as status,
        cast(share as double) as share,
        cast(rows_now as bigint) as rows_now,
        cast(rows_then as bigint) as rows_then,
        cast(compared_with as date) as compared_with,
        cast(first_values as string) as first_values,
        cast(description as string) as description
    from judged

)

select * from problems
