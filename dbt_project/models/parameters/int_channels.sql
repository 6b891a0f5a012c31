{{ config(materialized='table') }}

with chosen_channels as (

    {{ channel_values() }}

),

channels as (

    select
        cast(channel as string) as channel,
        {{ seed_integer('monthly_capacity') }} as monthly_capacity
    from chosen_channels
    where {{ seeds_are_sound() }}

)

select * from channels
