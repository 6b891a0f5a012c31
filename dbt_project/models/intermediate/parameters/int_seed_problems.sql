with policy_problems as (

    select * from {{ ref('int_policy_problems') }}

),

offer_problems as (

    select * from {{ ref('int_offer_problems') }}

),

effect_problems as (

    select * from {{ ref('int_effect_problems') }}

),

text_problems as (

    select * from {{ ref('int_text_problems') }}

),

all_problems as (

    select * from policy_problems
    union all
    select * from offer_problems
    union all
    select * from effect_problems
    union all
    select * from text_problems

),

described as (

    select
        cast('seeds/{{ var("source") }}/' || seed || '.csv' as varchar) as seed_file,
        cast(seed_row as varchar) as seed_row,
        cast(problem as varchar) as problem
    from all_problems

)

select * from described
