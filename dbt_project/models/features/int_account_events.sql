-- Account events, each on the day on which it becomes known.
with subscriptions as (

    select * from {{ valid_rows('subscriptions') }}

),

payments as (

    select * from {{ valid_rows('payments') }}

),

tickets as (

    select * from {{ valid_rows('support_tickets') }}

),

contacts as (

    select * from {{ valid_rows('retention_contacts') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

subscription_changes as (

    select
        customer_id,
        started_on,
        plan,
        monthly_fee,
        lag(plan) over (partition by customer_id order by started_on, subscription_id) as earlier_plan,
        lag(monthly_fee) over (partition by customer_id order by started_on, subscription_id) as earlier_fee
    from subscriptions

),

late_payments as (

    select
        payments.customer_id,
        payments.paid_on,
        {{ add_days('payments.due_on', 'parameters.payment_grace_days') }} as late_on
    from payments
    cross join parameters
    where payments.paid_on is null
        or payments.paid_on > {{ add_days('payments.due_on', 'parameters.payment_grace_days') }}

),

{% set events = {
    'plan_changed': ['subscription_changes', 'started_on', '0', 'plan <> earlier_plan'],
    'price_increased': ['subscription_changes', 'started_on', 'monthly_fee - earlier_fee', 'monthly_fee > earlier_fee and plan = earlier_plan'],
    'invoice_due': ['payments', 'due_on', 'amount', 'true'],
    'invoice_paid': ['payments', 'paid_on', 'amount', 'paid_on is not null'],
    'payment_late': ['late_payments', 'late_on', '0', 'true'],
    'late_payment_settled': ['late_payments', 'paid_on', '0', 'paid_on is not null'],
    'ticket_opened': ['tickets', 'opened_on', '0', 'true'],
    'ticket_resolved': ['tickets', 'resolved_on', '0', 'resolved_on is not null'],
    'poor_rating': ['tickets', 'resolved_on', '0', 'resolved_on is not null and satisfaction <= 2'],
    'contacted': ['contacts', 'contacted_on', 'cost', "offer <> 'no_action'"],
    'offer_accepted': ['contacts', 'accepted_on', '0', "accepted_on is not null and offer <> 'no_action'"],
} -%}

account_events as (

    {% for event, rule in events.items() -%}
        select
            customer_id,
            cast({{ rule[1] }} as date) as known_on,
            '{{ event }}' as event,
            cast(({{ rule[2] }}) * 100 as bigint) as amount_cents
        from {{ rule[0] }}
        where {{ rule[3] }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

)

select * from account_events
