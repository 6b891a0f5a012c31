"""The policy page: what the last plan does, what it is worth, what limits it, and why others are not contacted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from models_ml.decisions.what_if import Curve, WhatIfInputs, draw_curve, read_what_if_inputs
from models_ml.reports.figures import money, share
from models_ml.reports.page import Fact, Figure, Page, Section, Table, Text, write_page
from models_ml.reports.policy_data import LastPlan, Row, read_changed_inputs, read_last_plan
from models_ml.reports.policy_figures import (
    limit_words,
    price_curve,
    value_and_cost,
    value_bars,
    value_curve,
)

CURVE_TOP = 2.0  # times the present limit
PLAN = "this plan"
ARM_WORDS = {
    "policy": "chosen, contacted",
    "pick_holdout": "chosen, held out",
    "universal_holdout": "universal holdout",
    "trial": "trial",
    "not_chosen": "not chosen",
    "suppressed": "suppressed",
}


def write_policy_report(path: Path, connection: Any, *, source: str) -> None:  # noqa: ANN401 - a DuckDB connection
    """Read the last plan, decide again along the curves, and write the page."""
    write_page(path, read_policy_page(connection, source=source))


def read_policy_page(connection: Any, *, source: str) -> Page:  # noqa: ANN401 - a DuckDB connection
    """Read the last plan from a warehouse or a published copy, decide again along the curves, and build the page."""
    plan, inputs = read_last_plan(connection, source), read_what_if_inputs(connection)
    curves = _curves(inputs, plan)
    changed = read_changed_inputs(connection, inputs, curves[0], source)
    return policy_page(replace(plan, changed_inputs=changed), [] if changed else curves, source=source)


def _curves(inputs: WhatIfInputs, plan: LastPlan) -> list[Curve]:
    """Return the curves of the budget and of every scarce capacity, or else of the one that is used the most."""
    prices = limit_prices(plan.run)
    capacities = [limit for limit in inputs.month.limits if limit.kind != "budget" and limit.monthly > 0]
    scarce = [limit for limit in capacities if prices.get(f"{limit.kind} {limit.name}", 0.0) > 0]
    used = {(row["limit_type"], row["limit_name"]): row["planned"] for row in plan.limits}
    busiest = sorted(capacities, key=lambda limit: -used.get((limit.kind, limit.name), 0.0) / limit.monthly)
    return [
        draw_curve(inputs, limit, [CURVE_TOP * limit.monthly])
        for limit in (inputs.month.find("budget"), *(scarce or busiest[:1]))
    ]


def policy_page(plan: LastPlan, curves: Sequence[Curve], *, source: str) -> Page:
    """Build the page; the first curve is that of the budget. None are drawn that are not of the plan."""
    run, currency = plan.run, plan.run["currency"]
    values = _values(run)
    contacts = run["planned_contacts"] - run["trial_contacts"]
    cost = run["planned_spend"] - run["trial_spend"]
    rival, rival_value = max(list(values.items())[1:], key=lambda item: item[1])
    return Page(
        title=f"Retention plan: {source}",
        subtitle=f"Decisions of {run['as_of_date']}: {run['customers_at_risk']:,} customers at risk.",
        verdict=(
            f"{contacts:,} planned contacts at {money(cost, currency)} are expected"
            f" to return {money(values[PLAN], currency)} net; the best of the simpler policies"
            f" ({rival}) would return {money(rival_value, currency)}.{_done_sentence(run, currency)}"
        ),
        warning=plan.calibration_warning,
        facts=_facts(run, currency, contacts, cost, values[PLAN]),
        sections=[
            _groups(plan, currency),
            _references(values, curves[:1], currency),
            _limits(plan, curves, currency),
            _not_contacted(plan, currency),
            _arms(plan),
            _examples(plan),
        ],
        footer=(
            f"pipeline {run['pipeline_version']}, policy {run['policy_version']}\n"
            "Values are expectations under the present churn probabilities and offer effects; what contacts achieved"
            " is measured against the holdouts and stands on the monitoring page."
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


def _facts(run: Row, currency: str, contacts: int, cost: float, value: float) -> list[Fact]:
    """Return what is planned, what is done of it, and what holds the plan back."""
    return [
        Fact("Planned contacts", f"{contacts:,}", "held-out customers included, trial left out"),
        Fact(
            "Planned cost",
            money(cost, currency),
            f"of {money(run['available_budget'], currency)} open to this run",
        ),
        Fact("Planned value", money(value, currency), "expected, net of its cost"),
        *_done(run, currency),
        Fact(
            "Price of the budget",
            f"{run['budget_price']:.2f} {currency}",
            f"one more {currency} of budget would return this beyond itself",
        ),
        Fact(
            "Below the best plan",
            f"at most {share(run['plan_gap'], 3)}",
            "the best possible one within these limits; a proven bound",
        ),
    ]


def _done(run: Row, currency: str) -> list[Fact]:
    """Say what is done, trial included and holdouts left out; cost and value only where the run logged them."""
    trial = (
        f"{run['trial_contacts']:,} of them to measure offers, expected to return"
        f" {money(run['trial_value'], currency)}; "
        if run["trial_contacts"]
        else ""
    )
    made = Fact(
        "Contacts made", f"{run['contacts']:,}", f"{trial}{run['pick_holdouts']:,} planned ones are held out"
    )
    if run["done_value"] is None or not run["contacts"]:
        return [made]
    cost = run.get("done_cost") or run["done_spend"]  # earlier runs may hold the sum alone
    return [
        made,
        Fact(
            "Cost of contacts made",
            money(cost, currency),
            "expected, incentives included. Their expected costs, which the budget limits, add up to"
            f" {money(cost - run['done_spend'], currency)} less, because the plan chooses what looks cheap",
        ),
        Fact(
            "Value of contacts made",
            money(run["done_value"], currency),
            f"with 80 % probability {_done_interval(run, currency)}, net of cost. The expected values of these contacts"
            f" add up to {money(run['done_optimism'] or 0.0, currency)} more, because the plan chooses what looks best",
        ),
    ]


def _done_sentence(run: Row, currency: str) -> str:
    """Say what is done is worth, beside what is planned; nothing for runs that were logged without it."""
    if not run["contacts"]:
        return " No contact is made."
    if run["done_value"] is None:
        return ""
    return (
        f" {run['contacts']:,} contacts are made, the trial included and holdouts left out; they are expected to return"
        f" {money(run['done_value'], currency)} net (80 % interval: {_done_interval(run, currency)})."
    )


def _done_interval(run: Row, currency: str) -> str:
    return f"{money(run['done_value_low'], currency)} to {money(run['done_value_high'], currency)}"


def _groups(plan: LastPlan, currency: str) -> Section:
    """Show what each offer and each tier is planned to bring and cost, and what of it is made."""
    offers = [
        (
            row["action_label"],
            row["channel"],
            *_counted(row, "planned"),
            f"{row['planned_value'] / row['planned']:,.2f}",
            *_counted(row, "made"),
        )
        for row in plan.offers
    ]
    tiers = [
        (row["risk_tier"], f"{row['customers']:,}", f"{row['at_stake']:,.0f}", *_counted(row, "planned"))
        for row in plan.tiers
    ]
    figures = [
        _bars([row["action_label"] for row in plan.offers], plan.offers, currency, "offer"),
        _bars([row["risk_tier"] for row in plan.tiers], plan.tiers, currency, "risk tier"),
    ]
    planned = ("planned contacts", "planned cost", "planned value")
    made = ("contacts made", "their cost", "their value")
    columns = ("offer", "channel", *planned, "value per contact", *made)
    return Section(
        "By offer and by risk tier",
        [
            *(figures if offers else []),
            Table(columns, offers, f"Contacts by offer, {currency}{_with_trial(plan)}"),
            Table(
                ("risk tier", "customers", "expected loss", *planned),
                tiers,
                f"Contacts by risk tier, {currency}; expected loss = churn probability × customer value, if nobody"
                " is contacted",
            ),
        ],
        "Value is expected and net of cost. Planned contacts are all customers for whom the plan chose an offer;"
        " contacts made leave out those who are held out to measure the contacts. The plan follows value, not risk: a"
        " customer of a low risk tier is contacted where that pays.",
    )


def _with_trial(plan: LastPlan) -> str:
    return "; contacts of the trial included" if plan.run["trial_contacts"] else ""


def _counted(row: Row, which: str) -> tuple[str, str, str]:
    return f"{row[which]:,}", f"{row[f'{which}_cost']:,.2f}", f"{row[f'{which}_value']:,.2f}"


def _bars(names: Sequence[str], rows: Sequence[Row], currency: str, group: str) -> Figure:
    return value_and_cost(
        names,
        [float(row["planned_value"]) for row in rows],
        [float(row["planned_cost"]) for row in rows],
        currency,
        f"Planned value (net of cost) and planned cost by {group}.",
    )


def _references(values: Mapping[str, float], budget: Sequence[Curve], currency: str) -> Section:
    """Show the plan beside the reference policies, and value against the budget where its curve is known."""
    intro = (
        "Simpler policies on the same customers, churn probabilities, offer effects and limits. Greedy: offers in"
        " order of expected value per cost. Break-even: one offer, made where churn probability × relative saving ×"
        " customer value exceeds its cost. Top risk: one offer to the customers with the highest churn"
        " probability. Fixed thresholds: the cheapest offer from a churn probability of 0.3, the most expensive one"
        " from 0.7."
    )
    bars = value_bars(
        values, currency, "Expected value of the plan and of the simpler policies, net of cost."
    )
    # Against a budget of 0 there is nothing to draw.
    curves = [value_curve(curve, currency) for curve in budget if curve.limit.monthly]
    return Section("Beside simpler policies, and under other budgets", [bars, *curves], intro)


def _limits(plan: LastPlan, curves: Sequence[Curve], currency: str) -> Section:
    """Show every limit with its price, and value against the scarce capacities."""
    prices = limit_prices(plan.run)
    cells = []
    for row in plan.limits:
        is_money = row["limit_type"] == "budget"
        key = "budget" if is_money else f"{row['limit_type']} {row['limit_name']}"
        digits = 2 if is_money else 0
        amounts = [f"{row[column]:,.{digits}f}" for column in ("monthly_limit", "used", "planned")]
        cells.append(
            (
                limit_words(row["limit_type"], row["limit_name"]),
                *amounts,
                f"{prices.get(key, 0.0):.2f} {currency}",
            )
        )
    figures = [price_curve(budget, currency) for budget in curves[:1] if budget.limit.monthly]
    figures += [value_curve(curve, currency) for curve in curves[1:]]
    return Section(
        "What limits the plan",
        [
            *([Text(plan.changed_inputs)] if plan.changed_inputs else []),
            *figures,
            Table(
                ("limit", "a month", "used before", "planned now", "price"),
                cells,
                f"Limits of the calendar month{_with_trial(plan)}",
            ),
        ],
        f"The price of a limit is what one more {currency} of budget, or one more contact, would return beyond its"
        " cost. A limit with a price of 0 does not hold the plan back.",
    )


def _not_contacted(plan: LastPlan, currency: str) -> Section:
    """Show why customers are not contacted, and the loss expected of them."""
    cells = [(row["why"], f"{row['customers']:,}", f"{row['at_stake']:,.0f}") for row in plan.not_contacted]
    columns = ("why", "customers", f"expected loss, {currency}")
    return Section("Customers not contacted, and why", [Table(columns, cells)])


def _arms(plan: LastPlan) -> Section:
    """Show the arms with their propensities."""
    cells = [
        (
            arm_words(row["arm"]),
            f"{row['customers']:,}",
            f"{row['contacts']:,}",
            f"{row['propensity']:.2f}",
            f"{row['propensity_no_action']:.2f}",
        )
        for row in plan.arms
    ]
    columns = (
        "arm",
        "customers",
        "contacts made",
        "probability of what was assigned",
        "probability of no contact",
    )
    intro = (
        "An arm is what a customer was assigned to. Held out: chosen by the plan, but by chance not contacted, so that"
        " the effect of contacts can be measured. Universal holdout: never contacted, so that the whole programme can"
        " be measured. Suppressed: a rule forbids a contact now. Both probabilities (propensities) are set before the"
        " draw and logged, so that outcomes can be weighted; where customers differ, the smallest is shown."
    )
    return Section("How the contacts will be measured", [Table(columns, cells)], intro)


def _examples(plan: LastPlan) -> Section:
    texts = [
        Text(f"{arm_words(row['arm']).capitalize()}, risk tier {row['risk_tier']}. {row['rationale']}")
        for row in plan.examples
    ]
    return Section("Examples", texts, "The rationale that an agent reads, one customer of each kind.")


def arm_words(arm: str) -> str:
    """Return what an arm is called.

    Examples
    --------
    >>> arm_words("not_chosen"), arm_words("second_trial")
    ('not chosen', 'second trial')
    """
    return ARM_WORDS.get(arm, arm.replace("_", " "))


def limit_prices(run: Row) -> dict[str, float]:
    """Return the price of every limit."""
    return dict(json.loads(run["limit_prices"]))
