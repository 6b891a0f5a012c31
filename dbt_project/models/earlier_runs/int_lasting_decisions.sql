-- Of earlier decisions what later runs still read: what is kept of those of earlier runs, and those of the service,
-- which take the place of the run's own for that customer. The rows of int_previous_actions, but for those in which
-- no offer was planned or drawn and which are not the customer's first of the month. horizon_days is the horizon that
-- the run decided with, and by which its decisions are judged; where none is known yet, today's.
with run as (

    select * from {{ ref('int_run') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

settings as (

    select * from {{ ref('int_earlier_settings') }}

),

kept as (

    select * from {{ ref('int_kept_decisions') }}

),

served as (

    select
        served_actions.*,
        cast(date_trunc('month', served_actions.as_of_date) as date) as month,
        coalesce(settings.horizon_days, parameters.horizon_days) as horizon_days
    from {{ served_decisions() }} as served_actions
    inner join run on served_actions.as_of_date <= run.as_of_date
    cross join parameters
    left join settings on served_actions.as_of_date = settings.as_of_date

),

first_served as (

    select
        customer_id,
        month,
        min(as_of_date) as as_of_date
    from served
    group by customer_id, month

),

-- Asked of the table, not of the step above: a step that is read twice is read whole.
first_kept as (

    select
        first_served.customer_id,
        first_served.month,
        first_decisions.as_of_date
    from {{ ref('int_kept_decisions') }} as first_decisions
    inner join first_served
        on first_decisions.customer_id = first_served.customer_id
            and cast(date_trunc('month', first_decisions.as_of_date) as date) = first_served.month
    where first_decisions.is_first_of_month

),

-- A run that did not know yet of a decision of the service may have picked the customer within its episode. Such a
-- pick is withdrawn and opens no episode: what it was to use counts until it lapses, chance had no say.
within_served as (

    {{ picks_within_served(ref('int_kept_decisions')) }}
    where {{ opens_episode('picks.arm') }}

),

decided as (

    select
        {% for column in previous_columns() -%}
            {% if column == 'arm' -%}
                case when within_served.action_id is null then kept.arm else 'suppressed' end as arm,
            {% elif column in ('propensity', 'propensity_no_action') -%}
                case when within_served.action_id is null then kept.{{ column }} else 1.0 end as {{ column }},
            {% else -%}
                kept.{{ column }},
            {% endif -%}
        {% endfor -%}
        coalesce(settings.horizon_days, parameters.horizon_days) as horizon_days,
        kept.is_first_of_month and coalesce(first_served.as_of_date >= kept.as_of_date, true) as is_first_of_month
    from kept
    cross join parameters
    left join settings on kept.as_of_date = settings.as_of_date
    left join served on kept.action_id = served.action_id
    left join within_served on kept.action_id = within_served.action_id
    left join first_served
        on kept.customer_id = first_served.customer_id
            and cast(date_trunc('month', kept.as_of_date) as date) = first_served.month
    where served.action_id is null

),

decisions as (

    select * from decided
    union all
    select
        {% for column in previous_columns() -%}
            served.{{ column }},
        {% endfor -%}
        served.horizon_days,
        first_served.as_of_date = served.as_of_date
        and coalesce(first_kept.as_of_date >= served.as_of_date, true) as is_first_of_month
    from served
    inner join first_served on served.customer_id = first_served.customer_id and served.month = first_served.month
    left join first_kept on served.customer_id = first_kept.customer_id and served.month = first_kept.month

)

select * from decisions
