{{ config(materialized='table') }}

{% set tables = {
    'customers': ['customer_id', 'signed_up_on'],
    'consents': ['channel', 'recorded_on'],
    'subscriptions': ['subscription_id', 'started_on'],
    'activity': ['null', 'occurred_on'],
    'payments': ['payment_id', 'due_on'],
    'support_tickets': ['ticket_id', 'opened_on'],
    'retention_contacts': ['contact_id', 'contacted_on'],
} -%}

with rejected as (

    {% for table, columns in tables.items() -%}
        select
            cast('stg_{{ table }}' as string) as staging_model,
            cast({{ columns[0] }} as string) as record_id,
            cast(customer_id as string) as customer_id,
            cast({{ columns[1] }} as date) as recorded_on,
            cast(quarantine_reason as string) as quarantine_reason
        from {{ ref('int_checked_' ~ table) }}
        where quarantine_reason is not null
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

)

select * from rejected
