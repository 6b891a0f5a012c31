{{ config(materialized='table') }}

with activity_map as (

    select * from {{ ref('activity_map') }}

),

meanings as (

    select
        cast(activity_type as string) as activity_type,
        cast(meaning as string) as meaning,
        cast(counts_as_event as boolean) as counts_as_event
    from activity_map
    where {{ seeds_are_sound() }}

)

select * from meanings
