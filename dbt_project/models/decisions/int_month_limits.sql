{{ config(materialized='table') }}

-- What the calendar month has left: every planned action of the month counts, executed or not.
with run as (

    select * from {{ ref('int_run') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

offers as (

    select * from {{ ref('int_offers') }}

),

channels as (

    select * from {{ ref('int_channels') }}

),

previous_actions as (

    select * from {{ ref('int_previous_actions') }}

),

planned_this_month as (

    select
        previous_actions.planned_action,
        -- an offer that is renamed or removed during the month has used its channel; a withheld row logs no channel
        coalesce(previous_actions.channel, offers.channel) as planned_channel,
        cast(round(previous_actions.expected_cost * 100) as bigint) as cost_cents
    from previous_actions
    inner join run
        on date_trunc('month', previous_actions.as_of_date) = date_trunc('month', run.as_of_date)
    left join offers on previous_actions.planned_action = offers.offer
    where previous_actions.planned_action <> 'no_action'

),

monthly_limits as (

    select
        'budget' as limit_type,
        currency as limit_name,
        monthly_budget as monthly_limit
    from parameters
    union all
    select
        'offer' as limit_type,
        offer as limit_name,
        monthly_capacity as monthly_limit
    from offers
    union all
    select
        'channel' as limit_type,
        channel as limit_name,
        monthly_capacity as monthly_limit
    from channels

),

used as (

    {% for limit_type, limit_name, amount in [
        ('budget', 'parameters.currency', 'sum(planned_this_month.cost_cents) / 100.0'),
        ('offer', 'planned_this_month.planned_action', 'count(*)'),
        ('channel', 'planned_this_month.planned_channel', 'count(*)'),
    ] -%}
        select
            '{{ limit_type }}' as limit_type,
            {{ limit_name }} as limit_name,
            {{ amount }} as used
        from planned_this_month
        cross join parameters
        group by {{ limit_name }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

paced as (

    select
        monthly_limits.*,
        coalesce(used.used, 0) as used,
        case
            when parameters.pacing = 'linear' then cast(extract(day from run.as_of_date) as double)
            else 1.0
        end as days_open,
        case
            when parameters.pacing = 'linear'
                then cast(extract(day from {{ dbt.last_day('run.as_of_date', 'month') }}) as double)
            else 1.0
        end as days_of_month
    from monthly_limits
    cross join run
    cross join parameters
    left join used
        on monthly_limits.limit_type = used.limit_type
            and monthly_limits.limit_name = used.limit_name

),

limits as (

    select
        cast(limit_type as varchar) as limit_type,
        cast(limit_name as varchar) as limit_name,
        cast(monthly_limit as double) as monthly_limit,
        cast(used as double) as used,
        cast(greatest(
            case
                when limit_type = 'budget' then round(monthly_limit * days_open / days_of_month, 2)
                else floor(monthly_limit * days_open / days_of_month)  -- whole contacts stay whole
            end - used, 0
        ) as double) as available
    from paced

)

select * from limits
