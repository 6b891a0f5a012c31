-- Of several rows of a customer and channel, a refusal counts; a missing answer is a refusal.
with consents as (

    select * from {{ ref('stg_consents') }}

),

granted as (

    select
        cast(customer_id as varchar) as customer_id,
        cast(channel as varchar) as channel,
        cast(min(case when is_granted then 1 else 0 end) = 1 as boolean) as is_granted
    from consents
    group by customer_id, channel

)

select * from granted
