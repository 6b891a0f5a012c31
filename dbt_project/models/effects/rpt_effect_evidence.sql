-- Number of randomised customers used to estimate the effects, and the reasons for which others are not used.
with evidence as (

    select * from {{ ref('int_effect_evidence') }}

),

report as (

    select
        cast(stratum as string) as stratum,
        cast(coalesce(offer, 'no_action') as string) as offer,
        cast(coalesce(unused_reason, 'used') as string) as usage,
        cast(count(*) as bigint) as customers,
        cast(count(case when has_churned then 1 end) as bigint) as churned_customers
    from evidence
    group by stratum, coalesce(offer, 'no_action'), coalesce(unused_reason, 'used')

)

select * from report
