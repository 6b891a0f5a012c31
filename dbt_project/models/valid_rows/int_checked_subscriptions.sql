with subscriptions as (

    select * from {{ ref('stg_subscriptions') }}

),

customers as (

    select * from {{ valid_rows('customers') }}

),

run as (

    select * from {{ ref('int_run') }}

),

judged as (

    select
        subscriptions.*,
        case
            when subscriptions.subscription_id is null then 'missing_subscription_id'
            when subscriptions.customer_id is null then 'missing_customer_id'
            when customers.customer_id is null then 'unknown_customer'
            when subscriptions.started_on is null then 'missing_started_on'
            when {{ is_placeholder_day('subscriptions.started_on') }} then 'placeholder_date'
            when subscriptions.started_on > run.data_ends_on then 'after_data_end'
            when subscriptions.ended_on < subscriptions.started_on then 'ended_before_started'
            when subscriptions.monthly_fee is null then 'missing_monthly_fee'
            when subscriptions.monthly_fee < 0 then 'negative_monthly_fee'
            when {{ is_beyond_counting('subscriptions.monthly_fee') }} then 'monthly_fee_out_of_range'
        end as fault
    from subscriptions
    cross join run
    left join customers on subscriptions.customer_id = customers.customer_id
    where {{ is_not_erased('case when customers.customer_id is null then subscriptions.customer_id end') }}

),

-- A row is a stretch of constant terms: a subscription has one at a time.
checked as (

    {{ set_copies_aside(
        'judged', 'subscription_id, started_on',
        'customer_id, ended_on desc nulls first, monthly_fee, plan, billing_period, end_announced_on, '
        ~ 'commitment_ends_on',
        'duplicate_subscription_id'
    ) }}

)

select * from checked
