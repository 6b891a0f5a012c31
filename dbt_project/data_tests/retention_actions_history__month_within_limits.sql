-- What earlier runs of the month used and what this run does never exceed the month's limits. What has begun to be
-- executed stays as it was decided, under the limits of then.
with history as (

    select * from {{ ref('retention_actions_history') }}

),

run as (

    select * from {{ ref('int_run') }}

),

offers as (

    select * from {{ ref('int_offers') }}

),

limits as (

    select * from {{ ref('int_month_limits') }}

),

planned as (

    select
        history.action as planned_action,
        coalesce(history.channel, offers.channel) as channel,
        cast(round(history.expected_cost * 100) as bigint) as cost_cents
    from history
    inner join run on history.as_of_date = run.as_of_date and not run.is_frozen
    left join offers on history.action = offers.offer
    where history.action <> 'no_action'

),

used as (

    select
        limits.limit_type,
        limits.limit_name,
        greatest(limits.monthly_limit, limits.used) as monthly_limit,
        case
            when limits.limit_type = 'budget' then coalesce(sum(planned.cost_cents), 0) / 100
            else count(planned.cost_cents)
        end + limits.used as used_in_month
    from limits
    left join planned
        on limits.limit_type = 'budget'
            or (limits.limit_type = 'offer' and limits.limit_name = planned.planned_action)
            or (limits.limit_type = 'channel' and limits.limit_name = planned.channel)
    group by limits.limit_type, limits.limit_name, limits.monthly_limit, limits.used

),

exceeded as (

    select *
    from used
    where cast(round(used_in_month * 100) as bigint) > cast(round(monthly_limit * 100) as bigint)

)

select * from exceeded
