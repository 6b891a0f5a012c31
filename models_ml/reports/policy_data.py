"""What the policy report reads from the warehouse: the last plan, grouped in every way that it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models_ml.errors import BayesPilotError

Row = Mapping[str, Any]

# A run that was logged before trials were told apart had no column for them.
RUN = """
    select * replace (
        coalesce(trial_contacts, 0) as trial_contacts,
        coalesce(trial_spend, 0) as trial_spend,
        coalesce(trial_value, 0) as trial_value
    )
    from policy_runs
    where as_of_date = (select max(as_of_date) from retention_actions)
"""
OFFERS = """
    select
        int_offers.action_label,
        int_offers.channel,
        count(*) as planned,
        count(*) filter (where actions.action <> 'no_action') as made,
        sum(actions.expected_cost::decimal(18, 2)) as spend,
        sum(actions.incremental_expected_value::decimal(18, 2)) as value
    from retention_actions as actions
    inner join int_offers on actions.planned_action = int_offers.offer
    group by all
    order by value desc, action_label
"""
TIERS = """
    select
        risk_tier,
        count(*) as customers,
        count(*) filter (where planned_action <> 'no_action') as planned,
        sum(expected_cost::decimal(18, 2)) as spend,
        sum(incremental_expected_value::decimal(18, 2)) as value,
        sum((churn_probability * customer_value)::decimal(18, 2)) as at_stake
    from retention_actions
    group by risk_tier
    order by array_position(['escalate', 'review', 'monitor'], risk_tier)
"""
LEFT_ALONE = """
    select
        case
            when actions.arm = 'not_chosen' and planned.has_worthwhile_offer then 'outbid'
            else coalesce(actions.suppression_reason, actions.arm)
        end as why,
        count(*) as customers,
        sum((actions.churn_probability * actions.customer_value)::decimal(18, 2)) as at_stake
    from retention_actions as actions
    left join int_planned_actions as planned on actions.customer_id = planned.customer_id
    where actions.action = 'no_action'
    group by why
    order by customers desc, why
"""
ARMS = """
    select
        arm,
        count(*) as customers,
        count(*) filter (where action <> 'no_action') as contacts,
        min(propensity) as propensity,
        min(propensity_no_action) as propensity_no_action
    from retention_actions
    group by arm
    order by customers desc, arm
"""
LIMITS = """
    with planned as (
        select
            int_month_limits.limit_type,
            int_month_limits.limit_name,
            case
                when int_month_limits.limit_type = 'budget' then actions.expected_cost
                when int_month_limits.limit_type = 'offer'
                    then (actions.planned_action = int_month_limits.limit_name)::int
                else (int_offers.channel = int_month_limits.limit_name)::int
            end::decimal(18, 2) as use
        from int_month_limits
        cross join retention_actions as actions
        inner join int_offers on actions.planned_action = int_offers.offer
    )

    select
        int_month_limits.limit_type,
        int_month_limits.limit_name,
        int_month_limits.monthly_limit,
        int_month_limits.used,
        coalesce(sum(planned.use), 0)::double as planned
    from int_month_limits
    left join planned
        on int_month_limits.limit_type = planned.limit_type
        and int_month_limits.limit_name = planned.limit_name
    group by
        int_month_limits.limit_type,
        int_month_limits.limit_name,
        int_month_limits.monthly_limit,
        int_month_limits.used
    order by array_position(['budget', 'offer', 'channel'], int_month_limits.limit_type),
        int_month_limits.limit_name
"""
# One row per offer and per reason to leave a customer alone: the first by priority, else by what is at stake.
EXAMPLES = """
    select action_label, arm, suppression_reason, risk_tier, rationale
    from (
        select
            *,
            row_number() over (
                partition by action, suppression_reason, arm
                order by priority, churn_probability * customer_value desc, action_id
            ) as place
        from retention_actions
    ) as ranked
    where place = 1
    order by action = 'no_action', priority, arm, suppression_reason
    limit 12
"""


@dataclass(frozen=True)
class LastPlan:
    """The last plan: its row of ``policy_runs``, and groups of ``retention_actions``."""

    run: Row
    offers: Sequence[Row]
    tiers: Sequence[Row]
    left_alone: Sequence[Row]
    arms: Sequence[Row]
    limits: Sequence[Row]
    examples: Sequence[Row]


def read_last_plan(connection: Any) -> LastPlan:  # noqa: ANN401 - a DuckDB connection
    """Read the last plan from the warehouse.

    Raises
    ------
    BayesPilotError
        If there are no decisions yet.
    """
    runs = _rows(connection, RUN)
    if not runs:
        raise BayesPilotError(
            "the warehouse holds no decisions", where="policy_runs", next_step="dbt build (without --empty)"
        )
    groups = (_rows(connection, sql) for sql in (OFFERS, TIERS, LEFT_ALONE, ARMS, LIMITS, EXAMPLES))
    return LastPlan(runs[0], *groups)


def _rows(connection: Any, sql: str) -> list[dict[str, Any]]:  # noqa: ANN401 - a DuckDB connection
    return list(connection.sql(sql).to_arrow_table().to_pylist())
