{{ config(materialized='table') }}

-- Whether a customer may be contacted on a channel, by stretches of days. The latest answer counts; of answers at the
-- same time, and of flags without a time, a refusal. A refusal counts even where its row is quarantined: without a
-- known channel for every channel, dated after the data for the last day of the data.
with consents as (

    select * from {{ ref('int_checked_consents') }}

),

channels as (

    select * from {{ ref('int_channels') }}

),

run as (

    select * from {{ ref('int_run') }}

),

answers as (

    select
        consents.customer_id,
        channels.channel,
        consents.recorded_at,
        case when consents.recorded_on > run.data_ends_on then run.data_ends_on else consents.recorded_on end
            as recorded_on,
        case when consents.is_granted then 1 else 0 end as granted
    from consents
    cross join run
    inner join channels
        on consents.channel = channels.channel or consents.quarantine_reason = 'unknown_channel'
    where consents.customer_id is not null
        and (consents.quarantine_reason is null or not coalesce(consents.is_granted, false))

),

flags as (

    select
        customer_id,
        channel,
        min(granted) as granted
    from answers
    where recorded_at is null
    group by customer_id, channel

),

answers_at_once as (

    select
        customer_id,
        channel,
        recorded_on,
        recorded_at,
        min(granted) as granted
    from answers
    where recorded_at is not null
    group by customer_id, channel, recorded_on, recorded_at

),

last_of_day as (

    select
        *,
        row_number() over (partition by customer_id, channel, recorded_on order by recorded_at desc) as place
    from answers_at_once

),

changes as (

    select
        last_of_day.customer_id,
        last_of_day.channel,
        last_of_day.recorded_on as valid_from,
        least(last_of_day.granted, coalesce(flags.granted, 1)) as granted
    from last_of_day
    left join flags on last_of_day.customer_id = flags.customer_id and last_of_day.channel = flags.channel
    where last_of_day.place = 1
    union all
    select
        customer_id,
        channel,
        date '1900-01-01' as valid_from,
        granted
    from flags

),

stretches as (

    select
        cast(customer_id as string) as customer_id,
        cast(channel as string) as channel,
        cast(valid_from as date) as valid_from,
        cast(lead(valid_from) over (partition by customer_id, channel order by valid_from) as date) as valid_until,
        cast(granted = 1 as boolean) as is_granted
    from changes

)

select * from stretches
