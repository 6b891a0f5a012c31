-- The raw customers hold one flag per channel and no time of consent: each flag is valid for every date.
with customers as (

    select * from {{ source('demo', 'customers') }}

),

flags as (

    {% for channel in ['email', 'phone', 'push'] -%}
        select
            customer_id,
            '{{ channel }}' as channel,
            consents_to_{{ channel }} as is_granted
        from customers
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

consents as (

    select
        ---------- ids
        cast(customer_id as string) as customer_id,

        ---------- text
        cast(channel as string) as channel,

        ---------- booleans
        cast(is_granted as boolean) as is_granted,

        ---------- timestamps
        cast(null as timestamp) as recorded_at
    from flags

)

select * from consents
