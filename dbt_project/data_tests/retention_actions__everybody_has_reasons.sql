-- All customers at risk, contacted or not, have the reasons that hold: one for each family found, at most three, each
-- wording once. Reasons are missing only where nothing that raises the risk is true of the customer. Once a date has
-- begun to be executed, its reasons stay those of then.
with actions as (

    select * from {{ ref('retention_actions') }}

),

run as (

    select * from {{ ref('int_run') }}

),

churn_reasons as (

    select * from {{ ref('int_churn_reasons') }}

),

cited_reasons as (

    select * from {{ ref('int_cited_reasons') }}

),

explained as (

    select distinct customer_id
    from churn_reasons

),

cited as (

    select
        customer_id,
        max(case when reason_rank = 1 then reason_text end) as reason_1,
        max(case when reason_rank = 2 then reason_text end) as reason_2,
        max(case when reason_rank = 3 then reason_text end) as reason_3
    from cited_reasons
    group by customer_id

),

differences as (

    select
        actions.customer_id,
        actions.reason_1
    from actions
    inner join run on actions.as_of_date = run.as_of_date and not run.is_frozen
    left join explained on actions.customer_id = explained.customer_id
    left join cited on actions.customer_id = cited.customer_id
    where (explained.customer_id is not null and actions.reason_1 is null)
        or actions.reason_1 is distinct from cited.reason_1
        or actions.reason_2 is distinct from cited.reason_2
        or actions.reason_3 is distinct from cited.reason_3

)

select * from differences
