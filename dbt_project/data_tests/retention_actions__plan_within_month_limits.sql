-- The plan stays within what the month has left: money, contacts per offer and contacts per channel.
with decisions as (

    select * from {{ ref('int_decisions') }}

),

offers as (

    select * from {{ ref('int_offers') }}

),

limits as (

    select * from {{ ref('int_month_limits') }}

),

planned as (

    select
        decisions.planned_action,
        offers.channel,
        cast(round(decisions.planned_cost * 100) as bigint) as cost_cents
    from decisions
    inner join offers on decisions.planned_action = offers.offer
    where not (decisions.arm = 'trial' and decisions.action = 'no_action') -- withdrawn, for want of room

),

used_now as (

    select
        limits.limit_type,
        limits.limit_name,
        limits.available,
        case
            when limits.limit_type = 'budget' then coalesce(sum(planned.cost_cents), 0) / 100
            else count(planned.cost_cents)
        end as planned_use
    from limits
    left join planned
        on limits.limit_type = 'budget'
            or (limits.limit_type = 'offer' and limits.limit_name = planned.planned_action)
            or (limits.limit_type = 'channel' and limits.limit_name = planned.channel)
    group by limits.limit_type, limits.limit_name, limits.available

),

exceeded as (

    select *
    from used_now
    where cast(round(planned_use * 100) as bigint) > cast(round(available * 100) as bigint)

)

select * from exceeded
