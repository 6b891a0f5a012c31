{{ config(materialized='table') }}

-- What features read, counted by the day on which it became known. fact_sum moves when a value of any row moves.
{% set facts = {
    'customers': ['customers', 'signed_up_on', ['customer_id', 'signed_up_on'], 'true'],
    'subscriptions': [
        'periods', 'started_on',
        ['subscription_id', 'customer_id', 'plan', 'billing_period', 'monthly_fee', 'started_on', 'commitment_ends_on'],
        'true',
    ],
    'subscriptions announced': [
        'periods', 'greatest(started_on, end_announced_on)',
        ['subscription_id', 'customer_id', 'started_on', 'announced_end_on', 'end_announced_on'],
        'announced_end_on is not null',
    ],
    'subscriptions ended': [
        'periods', 'ended_on', ['subscription_id', 'customer_id', 'started_on', 'ended_on'], 'ended_on is not null',
    ],
    'payments due': ['payments', 'due_on', ['payment_id', 'customer_id', 'due_on', 'amount'], 'true'],
    'payments settled': [
        'payments', 'paid_on', ['payment_id', 'customer_id', 'due_on', 'paid_on', 'amount'], 'paid_on is not null',
    ],
    'support tickets': ['tickets', 'opened_on', ['ticket_id', 'customer_id', 'opened_on'], 'true'],
    'support tickets resolved': [
        'tickets', 'resolved_on', ['ticket_id', 'customer_id', 'resolved_on', 'satisfaction'], 'resolved_on is not null',
    ],
    'retention contacts': [
        'contacts', 'contacted_on', ['contact_id', 'customer_id', 'contacted_on', 'offer'], 'true',
    ],
    'retention contacts accepted': [
        'contacts', 'accepted_on', ['contact_id', 'customer_id', 'accepted_on', 'offer'], 'accepted_on is not null',
    ],
} -%}

with customers as (

    select * from {{ valid_rows('customers') }}

),

periods as (

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

activity_days as (

    select * from {{ ref('int_activity_days') }}

),

fact_days as (

    {% for fact, rule in facts.items() -%}
        select
            cast('{{ fact }}' as string) as fact,
            cast({{ rule[1] }} as date) as known_on,
            cast(count(*) as bigint) as facts,
            cast(sum({{ fingerprint_number(rule[2]) }}) as bigint) as fact_sum
        from {{ rule[0] }}
        where {{ rule[3] }}
        group by {{ rule[1] }}
        union all
    {% endfor %}
    select
        cast('activity' as string) as fact,
        cast(occurred_on as date) as known_on,
        cast(sum(events) as bigint) as facts,
        cast(sum(fact_sum) as bigint) as fact_sum
    from activity_days
    where quarantine_reason is null
    group by occurred_on

)

select * from fact_days
