{{ config(materialized='table') }}

-- What the calendar month has left: every action of the month counts, at its expected cost until a valid contact states
-- its real one. Withheld actions use nothing. Lapsed ones release what they were to use, unless any reported contact
-- names them.
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

lasting_decisions as (

    select * from {{ ref('int_lasting_decisions') }}

),

known_contacts as (

    select * from {{ ref('int_known_contacts') }}

),

executed_actions as (

    select * from {{ ref('int_executed_actions') }}

),

real_costs as (

    select
        executed_action_id as action_id,
        sum(cast(round(cost * 100) as bigint)) as cost_cents
    from known_contacts
    where executed_action_id is not null
    group by executed_action_id

),

-- A contact that is dated after the end of the data is known then.
known_executions as (

    select executed_actions.action_id
    from executed_actions
    inner join run on least(executed_actions.executed_on, run.data_ends_on) <= run.as_of_date

),

planned_this_month as (

    select
        lasting_decisions.action as planned_action,
        lasting_decisions.arm = 'trial' as is_trial,
        -- an offer that is renamed or removed during the month still used its channel
        coalesce(lasting_decisions.channel, offers.channel) as planned_channel,
        coalesce(
            real_costs.cost_cents, cast(round(lasting_decisions.expected_cost * 100) as bigint)
        ) as cost_cents
    from lasting_decisions
    inner join run
        on lasting_decisions.as_of_date >= date_trunc('month', run.as_of_date)
    left join offers on lasting_decisions.action = offers.offer
    left join real_costs on lasting_decisions.action_id = real_costs.action_id
    left join known_executions on lasting_decisions.action_id = known_executions.action_id
    where lasting_decisions.action <> 'no_action'
        and (known_executions.action_id is not null or lasting_decisions.valid_to > run.as_of_date)

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

-- Whole numbers are added: their sum does not depend on the order.
used as (

    {% for limit_type, limit_name, amount, unit in [
        ('budget', 'parameters.currency', 'planned_this_month.cost_cents', 100),
        ('offer', 'planned_this_month.planned_action', '1', 1),
        ('channel', 'planned_this_month.planned_channel', '1', 1),
    ] -%}
        select
            '{{ limit_type }}' as limit_type,
            {{ limit_name }} as limit_name,
            sum({{ amount }}) / {{ unit }} as used,
            sum(case when planned_this_month.is_trial then {{ amount }} else 0 end) / {{ unit }} as used_in_trials
        from planned_this_month
        cross join parameters
        group by {{ limit_name }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

-- An offer or channel without a row in the seeds has no capacity, and keeps what it has used.
limited as (

    select
        coalesce(monthly_limits.limit_type, used.limit_type) as limit_type,
        coalesce(monthly_limits.limit_name, used.limit_name) as limit_name,
        coalesce(monthly_limits.monthly_limit, 0) as monthly_limit,
        coalesce(used.used, 0) as used,
        coalesce(used.used_in_trials, 0) as used_in_trials
    from monthly_limits
    full outer join used
        on monthly_limits.limit_type = used.limit_type
            and monthly_limits.limit_name = used.limit_name
    where coalesce(monthly_limits.limit_name, used.limit_name) is not null

),

paced as (

    select
        limited.*,
        parameters.learning_share,
        case
            when parameters.pacing = 'linear' then cast(extract(day from run.as_of_date) as double)
            else 1.0
        end as days_open,
        case
            when parameters.pacing = 'linear'
                then cast(extract(day from last_day(run.as_of_date)) as double)
            else 1.0
        end as days_of_month
    from limited
    cross join run
    cross join parameters

),

left_over as (

    select
        paced.*,
        -- multiplied first, so that whole contacts stay whole
        greatest(
            case
                when limit_type = 'budget' then round(monthly_limit * days_open / days_of_month, 2)
                else floor(monthly_limit * days_open / days_of_month)
            end - used, 0
        ) as available,
        case
            when limit_type = 'budget' then round(monthly_limit * days_open / days_of_month * learning_share, 2)
            else ceil(round(monthly_limit * days_open * learning_share / days_of_month, 6))
        end - used_in_trials as open_for_trials
    from paced

),

limits as (

    select
        cast(limit_type as string) as limit_type,
        cast(limit_name as string) as limit_name,
        cast(monthly_limit as double) as monthly_limit,
        cast(used as double) as used,
        cast(used_in_trials as double) as used_in_trials,
        cast(available as double) as available,
        cast(least(greatest(open_for_trials, 0), available) as double) as available_for_trials
    from left_over

)

select * from limits
