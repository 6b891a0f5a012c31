{{ config(materialized='table') }}

-- Days on which a customer pays for anything. A gap of at most resume_grace_days between two subscriptions is a pause
-- and part of the stretch.
with periods as (

    select * from {{ ref('int_subscription_periods') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

paid as (

    select
        customer_id,
        started_on,
        coalesce(ended_on, date '9000-12-31') as ended_on
    from periods
    where monthly_fee > 0 and (ended_on is null or ended_on > started_on)

),

covered as (

    select
        *,
        max(ended_on) over (
            partition by customer_id
            order by started_on, ended_on
            rows between unbounded preceding and 1 preceding
        ) as covered_until
    from paid

),

numbered as (

    select
        covered.customer_id,
        covered.started_on,
        covered.ended_on,
        sum(case
            when covered.started_on <= {{ add_days('covered.covered_until', 'parameters.resume_grace_days') }} then 0
            else 1
        end) over (
            partition by covered.customer_id
            order by covered.started_on, covered.ended_on
            rows between unbounded preceding and current row
        ) as stretch_number
    from covered
    cross join parameters

),

stretches as (

    select
        cast(customer_id as string) as customer_id,
        cast(min(started_on) as date) as started_on,
        cast(nullif(max(ended_on), date '9000-12-31') as date) as ended_on
    from numbered
    group by customer_id, stretch_number

)

select * from stretches
