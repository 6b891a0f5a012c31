-- Margin and costs of enrolled customers in each finished month that is not kept yet, and whether they were still there
-- at its end: as everywhere, by the churn definition, over the horizon that ends with the month.
with enrolled_windows as (

    select * from {{ ref('int_enrolled_windows') }}

),

earlier as (

    select * from {{ ref('int_earlier_enrolled_months') }}

),

contacts as (

    select * from {{ ref('int_known_contacts') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

-- Each window begins where the customer's last one closed, so that months without a run are not lost. It is empty where
-- a customer is enrolled on the last day of the month.
windows as (

    select
        enrolled_windows.customer_id,
        enrolled_windows.outcome_month,
        coalesce(
            lag(enrolled_windows.closes_on) over (
                partition by enrolled_windows.customer_id, enrolled_windows.assignment
                order by enrolled_windows.outcome_month
            ),
            case
                when earlier.assignment = enrolled_windows.assignment
                    then last_day(earlier.outcome_month)
            end,
            enrolled_windows.enrolled_on
        ) as as_of_date,
        enrolled_windows.closes_on as horizon_ends_on
    from enrolled_windows
    left join earlier on enrolled_windows.customer_id = earlier.customer_id

),

brought as (

    {{ revenue_within('windows') }}

),

contacted as (

    select
        windows.customer_id,
        windows.outcome_month,
        sum(cast(contacts.cost * 100 as bigint)) as cost_cents
    from windows
    inner join contacts
        on windows.customer_id = contacts.customer_id
            and windows.as_of_date < contacts.contacted_on
            and windows.horizon_ends_on >= contacts.contacted_on
    group by windows.customer_id, windows.outcome_month

),

month_ends as (

    select
        windows.customer_id,
        {{ add_days('windows.horizon_ends_on', '-parameters.horizon_days') }} as as_of_date,
        windows.horizon_ends_on
    from windows
    cross join parameters

),

stayed as (

    {{ stayed_through_horizon('month_ends') }}

),

flows as (

    select
        cast(windows.customer_id as string) as customer_id,
        cast(windows.outcome_month as date) as outcome_month,
        cast(
            parameters.margin_rate
            * (coalesce(brought.fee_cents_days, 0) / 30 + coalesce(brought.purchase_cents, 0)) as double
        ) as margin_cents,
        cast(coalesce(contacted.cost_cents, 0) as bigint) as cost_cents,
        cast(contacted.customer_id is not null as boolean) as is_contacted,
        cast(stayed.customer_id is null and windows.as_of_date < windows.horizon_ends_on as boolean) as has_left
    from windows
    cross join parameters
    left join brought
        on windows.customer_id = brought.customer_id
            and windows.as_of_date = brought.as_of_date
            and windows.horizon_ends_on = brought.horizon_ends_on
    left join contacted
        on windows.customer_id = contacted.customer_id and windows.outcome_month = contacted.outcome_month
    left join stayed
        on windows.customer_id = stayed.customer_id
            and {{ add_days('windows.horizon_ends_on', '-parameters.horizon_days') }} = stayed.as_of_date

)

select * from flows
