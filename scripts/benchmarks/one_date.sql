-- customer_features of one date ({as_of_date}) in one statement, as a query for that date alone would be written:
-- one pass over the events of the last 365 days (by customer and day first, which spares the count of distinct
-- active days), and one pass over each account table, both with FILTERed aggregates. It reads the same valid rows.
with parameters as (

    select * from int_policy_parameters

),

meanings as (

    select
        activity_type,
        bool_or(meaning = 'engagement' and counts_as_event) as is_engagement,
        bool_or(meaning = 'price_interest' and counts_as_event) as is_price_interest,
        bool_or(meaning = 'leaving_signal' and counts_as_event) as is_leaving_signal,
        bool_or(meaning = 'purchase' and counts_as_event) as is_purchase,
        bool_or(meaning = 'purchase') as is_purchase_money
    from int_activity_map
    group by activity_type

),

days as (

    select
        activity.customer_id,
        activity.occurred_on as day,
        count(*) filter (where is_engagement) as engagement,
        sum(quantity) filter (where is_engagement) as quantity,
        count(*) filter (where is_price_interest) as price_interest,
        count(*) filter (where is_leaving_signal) as leaving_signal,
        count(*) filter (where is_purchase) as purchases,
        sum(amount) filter (where is_purchase_money) as amount
    from (select * from int_checked_activity where quarantine_reason is null) as activity
    inner join meanings on activity.activity_type = meanings.activity_type
    where activity.occurred_at >= timestamp '{as_of_date}' - interval 364 day
        and activity.occurred_at < timestamp '{as_of_date}' + interval 1 day
    group by activity.customer_id, activity.occurred_on

),

activity as (

    select
        customer_id,
        sum(engagement) filter (where day > date '{as_of_date}' - 30) as engagement_30,
        sum(engagement) filter (where day > date '{as_of_date}' - 90) as engagement_90,
        sum(engagement) filter (where day > date '{as_of_date}' - 180) as engagement_180,
        sum(engagement) as engagement_365,
        sum(quantity) filter (where day > date '{as_of_date}' - 30) as quantity_30,
        sum(quantity) filter (where day > date '{as_of_date}' - 90) as quantity_90,
        sum(quantity) filter (where day > date '{as_of_date}' - 180) as quantity_180,
        sum(quantity) as quantity_365,
        count(*) filter (where engagement > 0 and day > date '{as_of_date}' - 30) as active_days_30,
        count(*) filter (where engagement > 0 and day > date '{as_of_date}' - 90) as active_days_90,
        count(*) filter (where engagement > 0 and day > date '{as_of_date}' - 180) as active_days_180,
        count(*) filter (where engagement > 0) as active_days_365,
        sum(price_interest) filter (where day > date '{as_of_date}' - 30) as price_interest_30,
        sum(price_interest) filter (where day > date '{as_of_date}' - 90) as price_interest_90,
        sum(price_interest) filter (where day > date '{as_of_date}' - 180) as price_interest_180,
        sum(price_interest) as price_interest_365,
        sum(leaving_signal) filter (where day > date '{as_of_date}' - 30) as leaving_signal_30,
        sum(leaving_signal) filter (where day > date '{as_of_date}' - 90) as leaving_signal_90,
        sum(leaving_signal) filter (where day > date '{as_of_date}' - 180) as leaving_signal_180,
        sum(leaving_signal) as leaving_signal_365,
        sum(purchases) filter (where day > date '{as_of_date}' - 30) as purchases_30,
        sum(purchases) filter (where day > date '{as_of_date}' - 90) as purchases_90,
        sum(purchases) filter (where day > date '{as_of_date}' - 180) as purchases_180,
        sum(purchases) as purchases_365,
        sum(amount) filter (where day > date '{as_of_date}' - 30) as amount_30,
        sum(amount) filter (where day > date '{as_of_date}' - 90) as amount_90,
        sum(amount) filter (where day > date '{as_of_date}' - 180) as amount_180,
        sum(amount) as amount_365,
        max(day) filter (where engagement > 0) as last_engagement_on,
        max(day) filter (where price_interest > 0) as last_price_interest_on,
        max(day) filter (where leaving_signal > 0) as last_leaving_signal_on,
        max(day) filter (where purchases > 0) as last_purchase_on
    from days
    group by customer_id

),

invoices as (

    select
        customer_id,
        due_on,
        paid_on,
        amount,
        due_on + payment_grace_days as late_on,
        paid_on is null or paid_on > due_on + payment_grace_days as is_late
    from (select * from int_checked_payments where quarantine_reason is null) as payments
    cross join parameters
    where due_on <= date '{as_of_date}' and amount >= 0

),

payments as (

    select
        customer_id,
        count(*) filter (where due_on > date '{as_of_date}' - 30) as due_30,
        count(*) filter (where due_on > date '{as_of_date}' - 90) as due_90,
        count(*) filter (where due_on > date '{as_of_date}' - 180) as due_180,
        count(*) filter (where due_on > date '{as_of_date}' - 365) as due_365,
        sum(amount) filter (where paid_on between date '{as_of_date}' - 29 and date '{as_of_date}') as paid_30,
        sum(amount) filter (where paid_on between date '{as_of_date}' - 89 and date '{as_of_date}') as paid_90,
        sum(amount) filter (where paid_on between date '{as_of_date}' - 179 and date '{as_of_date}') as paid_180,
        sum(amount) filter (where paid_on between date '{as_of_date}' - 364 and date '{as_of_date}') as paid_365,
        count(*) filter (where is_late and late_on between date '{as_of_date}' - 29 and date '{as_of_date}') as late_30,
        count(*) filter (where is_late and late_on between date '{as_of_date}' - 89 and date '{as_of_date}') as late_90,
        count(*) filter (where is_late and late_on between date '{as_of_date}' - 179 and date '{as_of_date}')
            as late_180,
        count(*) filter (where is_late and late_on between date '{as_of_date}' - 364 and date '{as_of_date}')
            as late_365,
        max(late_on) filter (where is_late and late_on <= date '{as_of_date}') as last_late_on,
        count(*) filter (where is_late and late_on <= date '{as_of_date}')
            - count(*) filter (where is_late and paid_on <= date '{as_of_date}') as overdue
    from invoices
    group by customer_id

),

tickets as (

    select
        customer_id,
        count(*) filter (where opened_on > date '{as_of_date}' - 30) as opened_30,
        count(*) filter (where opened_on > date '{as_of_date}' - 90) as opened_90,
        count(*) filter (where opened_on > date '{as_of_date}' - 180) as opened_180,
        count(*) filter (where opened_on > date '{as_of_date}' - 365) as opened_365,
        count(*) filter (
            where satisfaction <= 2 and resolved_on between date '{as_of_date}' - 89 and date '{as_of_date}'
        ) as poor_90,
        count(*) filter (
            where satisfaction <= 2 and resolved_on between date '{as_of_date}' - 364 and date '{as_of_date}'
        ) as poor_365,
        max(opened_on) as last_opened_on,
        count(*) - count(*) filter (where resolved_on <= date '{as_of_date}') as still_open
    from (select * from int_checked_support_tickets where quarantine_reason is null) as support_tickets
    where opened_on <= date '{as_of_date}'
    group by customer_id

),

contacts as (

    select
        customer_id,
        count(*) filter (where contacted_on > date '{as_of_date}' - 30) as contacts_30,
        count(*) filter (where contacted_on > date '{as_of_date}' - 90) as contacts_90,
        count(*) filter (where contacted_on > date '{as_of_date}' - 180) as contacts_180,
        count(*) filter (where contacted_on > date '{as_of_date}' - 365) as contacts_365,
        count(*) filter (where accepted_on between date '{as_of_date}' - 89 and date '{as_of_date}') as accepted_90,
        count(*) filter (where accepted_on between date '{as_of_date}' - 364 and date '{as_of_date}') as accepted_365,
        max(contacted_on) as last_contacted_on
    from (select * from int_checked_retention_contacts where quarantine_reason is null) as retention_contacts
    where offer <> 'no_action' and contacted_on <= date '{as_of_date}'
    group by customer_id

),

periods as (

    select
        *,
        lag(plan) over subscription_rows as earlier_plan,
        lag(billing_period) over subscription_rows as earlier_billing_period,
        lag(monthly_fee) over subscription_rows as earlier_fee,
        lag(ended_on) over subscription_rows as earlier_ended_on,
        lead(started_on) over subscription_rows as next_started_on
    from (select * from int_checked_subscriptions where quarantine_reason is null) as subscriptions
    window subscription_rows as (partition by customer_id, subscription_id order by started_on)

),

changes as (

    select
        customer_id,
        count(*) filter (where plan <> earlier_plan) as plan_changes_365,
        count(*) filter (where is_rise and started_on > date '{as_of_date}' - 90) as rises_90,
        count(*) filter (where is_rise) as rises_365,
        sum(monthly_fee - earlier_fee) filter (where is_rise and started_on > date '{as_of_date}' - 90) as rise_90,
        sum(monthly_fee - earlier_fee) filter (where is_rise) as rise_365
    from (
        select
            *,
            monthly_fee > earlier_fee and plan = earlier_plan and billing_period = earlier_billing_period as is_rise
        from periods
        cross join parameters
        where earlier_fee > 0
            and monthly_fee > 0
            and coalesce(started_on <= earlier_ended_on + resume_grace_days, true)
    ) as compared
    where started_on > date '{as_of_date}' - 365 and started_on <= date '{as_of_date}'
    group by customer_id

),

running as (

    select
        *,
        least(ended_on, next_started_on) as last_on,
        row_number() over (
            partition by customer_id order by monthly_fee desc, started_on, subscription_id
        ) as fee_rank
    from periods
    where started_on <= date '{as_of_date}'
        and coalesce(least(ended_on, next_started_on) > date '{as_of_date}', true)
        and monthly_fee > 0

),

customers as (

    select
        customers.*,
        running.plan,
        running.billing_period,
        cast(subscriptions.monthly_fee as double) as monthly_fee,
        subscriptions.announced_fee / subscriptions.monthly_fee as announced_fee_share,
        subscriptions.announced_end_on - date '{as_of_date}' as days_to_announced_end,
        date '{as_of_date}' - running.started_on as days_in_current_period,
        case when running.commitment_ends_on >= date '{as_of_date}'
            then running.commitment_ends_on - date '{as_of_date}' end as days_to_commitment_end,
        date '{as_of_date}' - least(customers.signed_up_on, date '{as_of_date}') as tenure_days
    from (select * from int_checked_customers where quarantine_reason is null) as customers
    inner join running on customers.customer_id = running.customer_id and running.fee_rank = 1
    inner join (
        select
            customer_id,
            sum(monthly_fee)::double as monthly_fee,
            coalesce(
                sum(monthly_fee) filter (where end_announced_on <= date '{as_of_date}' and last_on is not null), 0
            )::double as announced_fee,
            min(last_on) filter (where end_announced_on <= date '{as_of_date}') as announced_end_on
        from running
        group by customer_id
    ) as subscriptions
        on customers.customer_id = subscriptions.customer_id

)

select
    customers.customer_id,
    date '{as_of_date}' as as_of_date,
    (select max(feature_definition) from int_feature_dates) as feature_definition,
    region,
    acquisition_channel,
    segment,
    tenure_days::integer as tenure_days,
    plan,
    billing_period,
    monthly_fee,
    days_in_current_period::integer as days_in_current_period,
    days_to_commitment_end::integer as days_to_commitment_end,
    coalesce(announced_fee_share, 0)::double as announced_fee_share,
    days_to_announced_end::integer as days_to_announced_end,
    coalesce(plan_changes_365, 0)::integer as plan_changes_last_365_days,
    coalesce(rises_90, 0)::integer as price_increases_last_90_days,
    coalesce(rises_365, 0)::integer as price_increases_last_365_days,
    coalesce(rise_90, 0)::double as price_increase_amount_last_90_days,
    coalesce(rise_365, 0)::double as price_increase_amount_last_365_days,
    -- The data of the benchmark hold a year before each of its dates: no pace is that of a shorter time.
    round(
        coalesce(monthly_fee, 0)
        + greatest(coalesce(amount_365, 0)::double, 0) * 30 / least(greatest(tenure_days, 30), 365), 2
    ) as monthly_revenue,
    coalesce(purchases_30, 0)::integer as purchases_last_30_days,
    coalesce(purchases_90, 0)::integer as purchases_last_90_days,
    coalesce(purchases_180, 0)::integer as purchases_last_180_days,
    coalesce(purchases_365, 0)::integer as purchases_last_365_days,
    coalesce(amount_30, 0)::double as purchase_amount_last_30_days,
    coalesce(amount_90, 0)::double as purchase_amount_last_90_days,
    coalesce(amount_180, 0)::double as purchase_amount_last_180_days,
    coalesce(amount_365, 0)::double as purchase_amount_last_365_days,
    round(coalesce(amount_365, 0)::double / nullif(purchases_365, 0), 2) as average_purchase_amount_last_365_days,
    (date '{as_of_date}' - last_purchase_on)::integer as days_since_last_purchase,
    coalesce(engagement_30, 0)::integer as engagement_events_last_30_days,
    coalesce(engagement_90, 0)::integer as engagement_events_last_90_days,
    coalesce(engagement_180, 0)::integer as engagement_events_last_180_days,
    coalesce(engagement_365, 0)::integer as engagement_events_last_365_days,
    coalesce(quantity_30, 0)::bigint as engagement_quantity_last_30_days,
    coalesce(quantity_90, 0)::bigint as engagement_quantity_last_90_days,
    coalesce(quantity_180, 0)::bigint as engagement_quantity_last_180_days,
    coalesce(quantity_365, 0)::bigint as engagement_quantity_last_365_days,
    coalesce(active_days_30, 0)::integer as engagement_active_days_last_30_days,
    coalesce(active_days_90, 0)::integer as engagement_active_days_last_90_days,
    coalesce(active_days_180, 0)::integer as engagement_active_days_last_180_days,
    coalesce(active_days_365, 0)::integer as engagement_active_days_last_365_days,
    (date '{as_of_date}' - last_engagement_on)::integer as days_since_last_engagement,
    coalesce(engagement_30, case when activity.customer_id is not null then 0 end) * 3.0 / nullif(engagement_90, 0) as engagement_last_30_over_90_days,
    coalesce(engagement_90, case when activity.customer_id is not null then 0 end) * 365.0 / 90 / nullif(engagement_365, 0) as engagement_last_90_over_365_days,
    (date '{as_of_date}' - last_engagement_on) * coalesce(active_days_365, 0)
        / least(greatest(tenure_days, 30), 365)::double as silence_over_usual_gap,
    coalesce(price_interest_30, 0)::integer as price_interest_events_last_30_days,
    coalesce(price_interest_90, 0)::integer as price_interest_events_last_90_days,
    coalesce(price_interest_180, 0)::integer as price_interest_events_last_180_days,
    coalesce(price_interest_365, 0)::integer as price_interest_events_last_365_days,
    (date '{as_of_date}' - last_price_interest_on)::integer as days_since_last_price_interest,
    coalesce(leaving_signal_30, 0)::integer as leaving_signal_events_last_30_days,
    coalesce(leaving_signal_90, 0)::integer as leaving_signal_events_last_90_days,
    coalesce(leaving_signal_180, 0)::integer as leaving_signal_events_last_180_days,
    coalesce(leaving_signal_365, 0)::integer as leaving_signal_events_last_365_days,
    (date '{as_of_date}' - last_leaving_signal_on)::integer as days_since_last_leaving_signal,
    coalesce(due_30, 0)::integer as invoices_due_last_30_days,
    coalesce(due_90, 0)::integer as invoices_due_last_90_days,
    coalesce(due_180, 0)::integer as invoices_due_last_180_days,
    coalesce(due_365, 0)::integer as invoices_due_last_365_days,
    coalesce(paid_30, 0)::double as amount_paid_last_30_days,
    coalesce(paid_90, 0)::double as amount_paid_last_90_days,
    coalesce(paid_180, 0)::double as amount_paid_last_180_days,
    coalesce(paid_365, 0)::double as amount_paid_last_365_days,
    coalesce(late_30, 0)::integer as late_payments_last_30_days,
    coalesce(late_90, 0)::integer as late_payments_last_90_days,
    coalesce(late_180, 0)::integer as late_payments_last_180_days,
    coalesce(late_365, 0)::integer as late_payments_last_365_days,
    case when last_late_on > date '{as_of_date}' - 365 then (date '{as_of_date}' - last_late_on)::integer end
        as days_since_last_late_payment,
    coalesce(overdue, 0)::integer as overdue_invoices,
    coalesce(opened_30, 0)::integer as tickets_opened_last_30_days,
    coalesce(opened_90, 0)::integer as tickets_opened_last_90_days,
    coalesce(opened_180, 0)::integer as tickets_opened_last_180_days,
    coalesce(opened_365, 0)::integer as tickets_opened_last_365_days,
    coalesce(poor_90, 0)::integer as poor_ratings_last_90_days,
    coalesce(poor_365, 0)::integer as poor_ratings_last_365_days,
    case when last_opened_on > date '{as_of_date}' - 365 then (date '{as_of_date}' - last_opened_on)::integer end
        as days_since_last_ticket,
    coalesce(still_open, 0)::integer as open_tickets,
    coalesce(contacts_30, 0)::integer as contacts_last_30_days,
    coalesce(contacts_90, 0)::integer as contacts_last_90_days,
    coalesce(contacts_180, 0)::integer as contacts_last_180_days,
    coalesce(contacts_365, 0)::integer as contacts_last_365_days,
    coalesce(accepted_90, 0)::integer as offers_accepted_last_90_days,
    coalesce(accepted_365, 0)::integer as offers_accepted_last_365_days,
    case when last_contacted_on > date '{as_of_date}' - 365 then (date '{as_of_date}' - last_contacted_on)::integer end
        as days_since_last_contact
from customers
left join activity on customers.customer_id = activity.customer_id
left join changes on customers.customer_id = changes.customer_id
left join payments on customers.customer_id = payments.customer_id
left join tickets on customers.customer_id = tickets.customer_id
left join contacts on customers.customer_id = contacts.customer_id
