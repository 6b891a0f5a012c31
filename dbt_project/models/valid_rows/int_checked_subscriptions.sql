with subscriptions as (

    select * from {{ ref('stg_subscriptions') }}

),

customers as (

    select * from {{ valid_rows('customers') }}

),

run as (

    select * from {{ ref('int_run') }}

),

stated_subscriptions as (

    select
        subscription_id,
        customer_id,
        plan,
        billing_period,
        monthly_fee,
        started_on,
        {{ stated_end('ended_on') }} as ended_on,
        {{ stated_day('end_announced_on') }} as end_announced_on,
        {{ stated_end(stated_day('commitment_ends_on')) }} as commitment_ends_on
    from subscriptions

),

judged as (

    select
        stated_subscriptions.*,
        case
            when {{ is_missing_id('stated_subscriptions.subscription_id') }} then 'missing_subscription_id'
            when {{ is_missing_id('stated_subscriptions.customer_id') }} then 'missing_customer_id'
            when customers.customer_id is null then 'unknown_customer'
            when stated_subscriptions.started_on is null then 'missing_started_on'
            when {{ is_placeholder_day('stated_subscriptions.started_on') }} then 'placeholder_date'
            when stated_subscriptions.started_on > run.data_ends_on then 'after_data_end'
            when stated_subscriptions.ended_on < stated_subscriptions.started_on then 'ended_before_started'
            when stated_subscriptions.monthly_fee is null then 'missing_monthly_fee'
            when stated_subscriptions.monthly_fee < 0 then 'negative_monthly_fee'
            when {{ is_beyond_counting('stated_subscriptions.monthly_fee') }} then 'monthly_fee_out_of_range'
        end as fault
    from stated_subscriptions
    cross join run
    left join customers on stated_subscriptions.customer_id = customers.customer_id
    where {{ is_not_erased('case when customers.customer_id is null then stated_subscriptions.customer_id end') }}

),

-- A row is a stretch of constant terms: a subscription has one at a time. Of several the one that knows of an end
-- stays, of several ends the latest; one that ended on its first day only where there is no other.
checked as (

    {{ set_copies_aside(
        'judged', 'subscription_id, started_on',
        'customer_id, case when ended_on = started_on then 1 else 0 end, ended_on desc nulls last, end_announced_on,'
        ~ ' commitment_ends_on, monthly_fee, plan, billing_period',
        'duplicate_subscription_id'
    ) }}

)

select * from checked
