"""The policy report: what the last plan does, what it is worth, and what limits it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models_ml.decisions.what_if import Curve, WhatIfInputs, draw_curve, read_what_if_inputs
from models_ml.reports.figures import money, share
from models_ml.reports.page import Fact, Page, write_page
from models_ml.reports.policy_data import LastPlan, Row, read_last_plan
from models_ml.reports.policy_sections import (
    beside_references_section,
    examples_section,
    groups_section,
    left_alone_section,
    limit_prices,
    limits_section,
    measured_section,
)

CURVE_TOP = 2.0  # times the present limit
PLAN = "this plan"


def write_policy_report(path: Path, connection: Any, *, source: str) -> None:  # noqa: ANN401 - a DuckDB connection
    """Read the last plan, decide again along the curves, and write the page."""
    plan, inputs = read_last_plan(connection), read_what_if_inputs(connection)
    write_page(path, policy_page(plan, _curves(inputs, plan), source=source))


def _curves(inputs: WhatIfInputs, plan: LastPlan) -> list[Curve]:
    """Curves of the budget and of the slots that are scarce, or else of those that are used the most."""
    prices = limit_prices(plan.run)
    slots = [limit for limit in inputs.month.limits if limit.kind != "budget" and limit.monthly > 0]
    scarce = [limit for limit in slots if prices.get(f"{limit.kind} {limit.name}", 0.0) > 0]
    used = {(row["limit_type"], row["limit_name"]): row["planned"] for row in plan.limits}
    busiest = sorted(slots, key=lambda limit: -used.get((limit.kind, limit.name), 0.0) / limit.monthly)[:1]
    return [
        draw_curve(inputs, limit, [CURVE_TOP * limit.monthly])
        for limit in (inputs.month.find("budget"), *(scarce or busiest))
    ]


def policy_page(plan: LastPlan, curves: Sequence[Curve], *, source: str) -> Page:
    """Build the page; the first curve is that of the budget."""
    run, currency = plan.run, plan.run["currency"]
    values = _values(run)
    contacts, spend = (
        run["planned_contacts"] - run["trial_contacts"],
        run["planned_spend"] - run["trial_spend"],
    )
    rival, rival_value = max(list(values.items())[1:], key=lambda item: item[1])
    return Page(
        title="Whom to contact, and why",
        subtitle=f"source {source}, decisions of {run['as_of_date']}, {run['customers_at_risk']:,} customers at risk",
        verdict=(
            f"{contacts:,} planned contacts at {money(spend, currency)} are expected"
            f" to return {money(values[PLAN], currency)} net; the best of the simpler policies"
            f" ({rival}) would return {money(rival_value, currency)}."
        ),
        facts=[
            Fact("expected value", money(values[PLAN], currency), "net of its cost"),
            Fact(
                "expected cost",
                money(spend, currency),
                f"of {money(run['available_budget'], currency)} that the month has left",
            ),
            Fact(
                "contacts", f"{run['contacts']:,}", f"and {run['pick_holdouts']:,} held out to measure them"
            ),
            *_trial(run, currency),
            Fact(f"one more {currency} returns", f"{run['budget_price']:.2f} {currency}", "net of itself"),
            Fact("proven gap", share(run["plan_gap"], 3), "at most this far from the best possible plan"),
        ],
        sections=[
            groups_section(plan, currency),
            beside_references_section(values, curves[0], currency),
            limits_section(plan, curves, currency),
            left_alone_section(plan, currency),
            measured_section(plan),
            examples_section(plan),
        ],
        footer=(
            f"pipeline {run['pipeline_version']}, policy {run['policy_version']}\n"
            "Values are expectations under the present churn probabilities and offer effects, before pick-holdouts"
            " are withheld; what contacts achieved is measured against the holdouts."
        ),
    )


def _values(run: Row) -> dict[str, float]:
    """Return the expected value of the plan, first, and of every reference policy, all of them without the trial."""
    return {
        PLAN: run["planned_value"] - run["trial_value"],
        "greedy": run["reference_greedy_value"],
        "break-even": run["reference_break_even_value"],
        "top risk": run["reference_top_risk_value"],
        "fixed thresholds": run["reference_fixed_thresholds_value"],
        "contact nobody": 0.0,
    }


def _trial(run: Row, currency: str) -> list[Fact]:
    """Return what the trial does, where there is one."""
    if not run["trial_contacts"]:
        return []
    bring = (
        f"{money(run['trial_spend'], currency)}, expected to return {money(run['trial_value'], currency)} now"
    )
    return [
        Fact("trial, beside the plan", f"{run['trial_contacts']:,}", f"contacts to learn from, at {bring}")
    ]
