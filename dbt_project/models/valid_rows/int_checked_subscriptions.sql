with subscriptions as (

    select * from {{ ref('stg_subscriptions') }}

),

customers as (

    select * from {{ valid_rows('customers') }}

),

run as (

    select * from {{ ref('int_run') }}

),

numbered as (

    select
        subscriptions.*,
        row_number() over (
            partition by subscription_id
            order by customer_id, started_on, ended_on, monthly_fee, plan
        ) as copy_number
    from subscriptions

),

checked as (

    select
        numbered.*,
        case
            when numbered.subscription_id is null then 'missing_subscription_id'
            when numbered.customer_id is null then 'missing_customer_id'
            when customers.customer_id is null then 'unknown_customer'
            when numbered.started_on is null then 'missing_started_on'
            when numbered.started_on > run.data_ends_on then 'after_data_end'
            when numbered.ended_on < numbered.started_on then 'ended_before_started'
            when numbered.monthly_fee is null then 'missing_monthly_fee'
            when numbered.monthly_fee < 0 then 'negative_monthly_fee'
            when numbered.copy_number > 1 then 'duplicate_subscription_id'
        end as quarantine_reason
    from numbered
    cross join run
    left join customers on numbered.customer_id = customers.customer_id

)

select * from checked
