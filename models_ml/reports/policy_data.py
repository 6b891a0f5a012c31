"""What the policy page reads from the warehouse: the last plan, grouped in every way that it is shown.

*Planned* counts customers with an offer, by the plan or by a trial within its limits.
*Made* counts those of them who are contacted. The difference is held out to measure the contacts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models_ml.decisions.decide import policy_version
from models_ml.decisions.what_if import Curve, WhatIfInputs
from models_ml.warehouse import build_command, no_decisions

Row = Mapping[str, Any]

# Why a customer is not contacted, in the words of the rationale: its first part, beginning in lower case.
_WHY = "regexp_replace(split_part(rationale, ';', 1), '^Not contacted: ', '')"
WHY_NOT_CONTACTED = f"lower({_WHY}[1]) || {_WHY}[2:]"

# policy_runs leaves the trial columns empty for runs that were logged without them.
RUN = """
    select * replace (
        coalesce(trial_contacts, 0) as trial_contacts,
        coalesce(trial_spend, 0) as trial_spend,
        coalesce(trial_value, 0) as trial_value
    )
    from policy_runs
    where as_of_date = (select max(as_of_date) from retention_actions)
"""
# retention_actions without the offers that chance assigned in a trial but that their limits could not carry: these are
# not part of the plan, in policy_runs neither (the macro is_withdrawn_trial says the same).
_PLANNED = """(
    select * replace (
        case when is_withdrawn then 'no_action' else planned_action end as planned_action,
        case when is_withdrawn then 0 else planned_cost end as planned_cost,
        case when is_withdrawn then 0 else planned_value end as planned_value
    )
    from (
        select *, arm = 'trial' and action = 'no_action' and planned_action <> 'no_action' as is_withdrawn
        from retention_actions
    ) as marked
)"""
# An offer may have left the seeds since the run, where a later build stopped: what was planned of it still counts.
OFFERS = f"""
    with planned as (
        select
            coalesce(int_offers.action_label, actions.planned_action) as action_label,
            coalesce(
                int_offers.channel, max(actions.channel) over (partition by actions.planned_action), '–'
            ) as channel,
            actions.action <> 'no_action' as is_made,
            actions.planned_cost::decimal(18, 2) as cost,
            actions.planned_value::decimal(18, 2) as value
        from {_PLANNED} as actions
        left join int_offers on actions.planned_action = int_offers.offer
        where actions.planned_action <> 'no_action'
    )

    select
        action_label,
        channel,
        count(*) as planned,
        sum(cost) as planned_cost,
        sum(value) as planned_value,
        count(*) filter (where is_made) as made,
        coalesce(sum(cost) filter (where is_made), 0) as made_cost,
        coalesce(sum(value) filter (where is_made), 0) as made_value
    from planned
    group by action_label, channel
    order by planned_value desc, action_label
"""
TIERS = f"""
    select
        risk_tier,
        count(*) as customers,
        sum((churn_probability * customer_value)::decimal(18, 2)) as at_stake,
        count(*) filter (where planned_action <> 'no_action') as planned,
        sum(planned_cost::decimal(18, 2)) as planned_cost,
        sum(planned_value::decimal(18, 2)) as planned_value
    from {_PLANNED} as actions
    group by risk_tier
    order by array_position(['escalate', 'review', 'monitor'], risk_tier)
"""
NOT_CONTACTED = f"""
    select
        {WHY_NOT_CONTACTED} as why,
        count(*) as customers,
        sum((churn_probability * customer_value)::decimal(18, 2)) as at_stake
    from retention_actions
    where action = 'no_action'
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
LIMITS = f"""
    with planned as (
        select
            int_month_limits.limit_type,
            int_month_limits.limit_name,
            case
                when int_month_limits.limit_type = 'budget' then actions.planned_cost
                when int_month_limits.limit_type = 'offer'
                    then (actions.planned_action = int_month_limits.limit_name)::int
                else coalesce(coalesce(int_offers.channel, actions.channel) = int_month_limits.limit_name, false)::int
            end::decimal(18, 2) as use
        from int_month_limits
        cross join {_PLANNED} as actions
        left join int_offers on actions.planned_action = int_offers.offer
        where actions.planned_action <> 'no_action'
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
# One row per offer and per reason not to contact: the first by priority, else by the expected loss.
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
    """The last plan: its row of ``policy_runs``, and groups of ``retention_actions``.

    ``changed_inputs`` says that the warehouse holds other inputs than those of the plan; None where it does not.
    """

    run: Row
    offers: Sequence[Row]
    tiers: Sequence[Row]
    not_contacted: Sequence[Row]
    arms: Sequence[Row]
    limits: Sequence[Row]
    examples: Sequence[Row]
    calibration_warning: str | None
    changed_inputs: str | None = None


def read_last_plan(connection: Any, source: str) -> LastPlan:  # noqa: ANN401 - a DuckDB connection
    """Read the last plan from the warehouse.

    Raises
    ------
    BayesPilotError
        If there are no decisions yet.
    """
    runs = _rows(connection, RUN)
    if not runs:
        raise no_decisions(source, "policy_runs")
    offers, tiers, not_contacted, arms, limits, examples = (
        _rows(connection, sql) for sql in (OFFERS, TIERS, NOT_CONTACTED, ARMS, LIMITS, EXAMPLES)
    )
    warning = read_calibration_warning(connection)
    return LastPlan(runs[0], offers, tiers, not_contacted, arms, limits, examples, warning)


def read_changed_inputs(connection: Any, inputs: WhatIfInputs, budget: Curve, source: str) -> str | None:  # noqa: ANN401
    """Say that the last plan was decided with other inputs than ``inputs``; None where these give that plan again.

    Parameters
    ----------
    connection : DuckDBPyConnection
    inputs : WhatIfInputs
        What the warehouse holds now.
    budget : Curve
        Plans made from them under other budgets, the present one among them.
    source : str
    """
    present = next(answer for answer in budget.drawn if answer.monthly == budget.limit.monthly)
    again = {
        "as_of_date": inputs.as_of_date,
        "monthly_budget": present.monthly,
        "available_budget": present.available,
        "policy_version": policy_version(inputs.decision),
        "planned": (round(present.summary.value, 2), round(present.summary.spend, 2)),
    }
    runs = _rows(connection, RUN)
    [(customers,)] = connection.execute("select count(*) from retention_actions").fetchall()
    for run in runs:
        decided = {name: run.get(name) for name in again}
        decided["planned"] = tuple(
            round(run[f"planned_{name}"] - run[f"trial_{name}"], 2) for name in ("value", "spend")
        )
        # Customers who were erased since still count in the sums of their plan.
        if customers < run["customers_at_risk"]:
            decided["planned"] = again["planned"]
        if again == decided:
            return None
    if not runs:
        return None
    return (
        "The warehouse no longer holds what the last plan was decided with, because a later build stopped, built only a"
        " part, or ran after contacts of the plan had begun. Limits shown are those of today, not those of the plan."
        f" The next finished run ends this: {build_command(source)}"
    )


def read_calibration_warning(connection: Any) -> str | None:  # noqa: ANN401 - a DuckDB connection
    """Return the warning of the deployed pipeline; None where its calibration holds."""
    found = _rows(connection, "select calibration_warning from deployed_pipeline")
    return found[0]["calibration_warning"] if found else None


def _rows(connection: Any, sql: str) -> list[dict[str, Any]]:  # noqa: ANN401 - a DuckDB connection
    return list(connection.sql(sql).to_arrow_table().to_pylist())
