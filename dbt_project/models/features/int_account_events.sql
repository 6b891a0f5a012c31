-- Everything that happens to an account, as events on the day on which they become known.
with periods as (

    select * from {{ ref('int_subscription_periods') }}

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

-- What follows a gap longer than a pause is a new start, not a change of terms.
subscription_changes as (

    select periods.*
    from periods
    cross join parameters
    where periods.earlier_fee > 0
        and periods.monthly_fee > 0
        and (
            periods.earlier_ended_on is null
            or periods.started_on <= {{ add_days('periods.earlier_ended_on', 'parameters.resume_grace_days') }}
        )

),

invoices as (

    select *
    from payments
    where amount >= 0

),

refunds as (

    select
        *,
        coalesce(paid_on, due_on) as refunded_on
    from payments
    where amount < 0

),

-- An invoice that is unpaid when a refund of the same id covers it is credited: it counts as paid with that refund.
credited_invoices as (

    select
        invoices.payment_id,
        invoices.customer_id,
        -refunds.amount as amount,
        greatest(refunds.refunded_on, invoices.known_on) as credited_on
    from invoices
    inner join refunds
        on invoices.payment_id = refunds.payment_id and invoices.customer_id = refunds.customer_id
    where invoices.amount > 0
        and invoices.amount <= -refunds.amount
        and (invoices.paid_on is null or invoices.paid_on > refunds.refunded_on)

),

-- A refund or chargeback is known on its day and nets out against what was paid.
money_received as (

    select
        customer_id,
        amount,
        paid_on as received_on
    from invoices
    where paid_on is not null
    union all
    select
        customer_id,
        amount,
        refunded_on as received_on
    from refunds
    union all
    select
        customer_id,
        amount,
        credited_on as received_on
    from credited_invoices

),

settled_invoices as (

    select
        invoices.customer_id,
        invoices.amount,
        coalesce(
            least(invoices.paid_on, credited_invoices.credited_on), invoices.paid_on, credited_invoices.credited_on
        ) as settled_on,
        {{ add_days('invoices.due_on', 'parameters.payment_grace_days') }} as late_on
    from invoices
    cross join parameters
    left join credited_invoices on invoices.payment_id = credited_invoices.payment_id

),

-- An invoice of 0 asks for nothing.
late_payments as (

    select *
    from settled_invoices
    where amount > 0 and (settled_on is null or settled_on > late_on)

),

{% set events = {
    'plan_changed': ['subscription_changes', 'started_on', '0', 'plan is distinct from earlier_plan'],
    'price_increased': [
        'subscription_changes', 'started_on', 'monthly_fee - earlier_fee',
        'monthly_fee > earlier_fee and plan is not distinct from earlier_plan'
        ~ ' and billing_period is not distinct from earlier_billing_period'
    ],
    'invoice_due': ['invoices', 'due_on', 'amount', 'true'],
    'invoice_paid': ['money_received', 'received_on', 'amount', 'true'],
    'payment_late': ['late_payments', 'late_on', '0', 'true'],
    'late_payment_settled': ['late_payments', 'settled_on', '0', 'settled_on is not null'],
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
