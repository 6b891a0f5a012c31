"""The sections of the policy report, each from ready rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from models_ml.decisions.what_if import Curve, MonthLimit, label
from models_ml.reports.figures import PALETTE, QUIET, axes, svg
from models_ml.reports.page import Figure, Section, Table, Text
from models_ml.reports.policy_data import LastPlan, Row

PLAN, GREEDY, BREAK_EVEN, RISK = PALETTE[0], PALETTE[2], PALETTE[4], PALETTE[1]
DRAWN = {"greedy": GREEDY, "break-even": BREAK_EVEN, "top risk": RISK}


def value_curve(curve: Curve, currency: str) -> Figure:
    """Draw expected value against one limit, the present amount marked, reference policies beside it."""
    amounts = [answer.monthly for answer in curve.drawn]
    with axes() as (figure, axis):
        for name, colour in DRAWN.items():
            values = [answer.summary.references[name] for answer in curve.drawn]
            axis.plot(amounts, values, color=colour, linewidth=1.2, linestyle="--", label=name)
        axis.plot(amounts, [answer.summary.value for answer in curve.drawn], color=PLAN, label="this plan")
        present = next(answer for answer in curve.drawn if answer.monthly == curve.limit.monthly)
        axis.plot([present.monthly], [present.summary.value], "o", color=PLAN, markersize=8)
        axis.annotate(
            "at present",
            (present.monthly, present.summary.value),
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
        )
        is_money = curve.limit.kind == "budget"
        axis.set_xlabel(f"{label(curve.limit)} a month, {currency if is_money else 'contacts'}")
        axis.set_ylabel(f"expected value, {currency}")
        axis.set_ylim(0, 1.15 * max(answer.summary.value for answer in curve.drawn) or 1.0)
        axis.legend(fontsize=9)
        return Figure(svg(figure), f"Expected value of the plan against its {label(curve.limit)}.")


def price_curve(curve: Curve, currency: str) -> Figure:
    """Draw what one more unit of the budget would return against the budget."""
    some = [answer for answer in curve.drawn if answer.available > 0]  # the first unit returns far more
    with axes() as (figure, axis):
        axis.plot(
            [answer.monthly for answer in some],
            [answer.summary.budget_price for answer in some],
            color=PLAN,
            drawstyle="steps-post",
        )
        axis.axvline(curve.limit.monthly, color=QUIET, linewidth=1, linestyle=":")
        axis.set_xlabel(f"budget a month, {currency}")
        axis.set_ylabel(f"net return of one more {currency}, {currency}")
        axis.set_ylim(bottom=0)
        return Figure(
            svg(figure), f"What one more {currency} would return net of itself; dotted: the present budget."
        )


def value_bars(values: Mapping[str, float], currency: str, caption: str) -> Figure:
    """Draw one bar a policy, the first one being the plan."""
    names = list(values)[::-1]
    with axes() as (figure, axis):
        colours = [PLAN if name == next(iter(values)) else QUIET for name in names]
        bars = axis.barh(names, [values[name] for name in names], color=colours)
        axis.bar_label(bars, labels=[f"{values[name]:,.0f}" for name in names], padding=4)
        axis.margins(x=0.15)
        axis.axvline(0, color=QUIET, linewidth=1)
        axis.grid(axis="y", visible=False)
        axis.set_xlabel(f"expected value, {currency}")
        return Figure(svg(figure), caption)


def value_and_spend(
    names: Sequence[str], value: Sequence[float], spend: Sequence[float], currency: str, caption: str
) -> Figure:
    """Draw value and spend side by side per group."""
    with axes() as (figure, axis):
        places = range(len(names))[::-1]
        upper = axis.barh([at + 0.2 for at in places], value, height=0.38, color=PLAN, label="expected value")
        lower = axis.barh([at - 0.2 for at in places], spend, height=0.38, color=RISK, label="expected cost")
        for bars, amounts in ((upper, value), (lower, spend)):
            axis.bar_label(bars, labels=[f"{amount:,.0f}" for amount in amounts], padding=3, fontsize=9)
        axis.set_yticks(list(places), names)
        axis.margins(x=0.15)
        axis.grid(axis="y", visible=False)
        axis.set_xlabel(currency)
        axis.legend(fontsize=9, loc="lower right")
        return Figure(svg(figure), caption)


WHY = {
    "not_chosen": "no offer is expected to bring more than it costs",
    "outbid": "worth contacting, but budget and slots go to customers who gain more",
    "universal_holdout": "universal holdout: never contacted, shows what happens without the programme",
    "pick_holdout": "pick-holdout: chosen, but left alone this month to measure the contacts",
    "trial": "trial: drawn to get nothing",
    "open_action": "an earlier action is still open",
    "held_out": "an earlier holdout still runs",
    "cool_down": "contacted not long ago",
    "no_consent": "consents to no channel",
    "no_eligible_offer": "no offer is open to them",
    "below_minimum_value": "worth less than the minimum value",
}


def groups_section(plan: LastPlan, currency: str) -> Section:
    """Show what each offer and each tier brings and costs."""
    offers = [
        (
            row["action_label"],
            row["channel"],
            f"{row['planned']:,}",
            f"{row['made']:,}",
            f"{row['spend']:,.2f}",
            f"{row['value']:,.2f}",
            f"{row['value'] / row['planned']:,.2f}",
        )
        for row in plan.offers
    ]
    tiers = [
        (
            row["risk_tier"],
            f"{row['customers']:,}",
            f"{row['at_stake']:,.0f}",
            f"{row['planned']:,}",
            f"{row['spend']:,.2f}",
            f"{row['value']:,.2f}",
        )
        for row in plan.tiers
    ]
    figures = [
        _bars([_short(row["action_label"]) for row in plan.offers], plan.offers, currency, "offer"),
        _bars([row["risk_tier"] for row in plan.tiers], plan.tiers, currency, "risk tier"),
    ]
    columns = ("offer", "channel", "planned", "made", "cost", "value", "value each")
    tier_columns = ("tier", "customers", "expected loss if left alone", "planned contacts", "cost", "value")
    return Section(
        "By offer and by risk tier",
        [
            *(figures if offers else []),
            Table(columns, offers, f"Offers, money in {currency}; made = planned less what is held out"),
            Table(tier_columns, tiers, f"Risk tiers, money in {currency}"),
        ],
        "Tiers are the simple reading of risk; the plan follows value, not risk, so it contacts low tiers too.",
    )


def _bars(names: Sequence[str], rows: Sequence[Row], currency: str, group: str) -> Figure:
    return value_and_spend(
        names,
        [float(row["value"]) for row in rows],
        [float(row["spend"]) for row in rows],
        currency,
        f"Expected value (net) and expected cost by {group}.",
    )


def beside_references_section(values: Mapping[str, float], budget: Curve, currency: str) -> Section:
    """Show the plan beside the reference policies, and value against the budget."""
    intro = (
        "The same customers, beliefs and limits under simpler rules. Fixed thresholds: the cheapest offer from a churn"
        " probability of 0.3, the dearest from 0.7. Break-even: one offer, contact if p · s · L exceeds its cost."
        " Top risk: one offer to the highest risks. Greedy: the highest value per cost first."
    )
    bars = value_bars(values, currency, "Expected value of the plan and of the reference policies.")
    return Section(
        "Beside simpler policies, and under other budgets", [bars, value_curve(budget, currency)], intro
    )


def limits_section(plan: LastPlan, curves: Sequence[Curve], currency: str) -> Section:
    """Show every limit with its price, and value against the scarce slots."""
    prices = limit_prices(plan.run)
    cells = []
    for row in plan.limits:
        is_money = row["limit_type"] == "budget"
        name = "budget" if is_money else f"{row['limit_type']} {row['limit_name']}"
        digits = 2 if is_money else 0
        amounts = [f"{row[column]:,.{digits}f}" for column in ("monthly_limit", "used", "planned")]
        cells.append((name, *amounts, f"{prices.get(name, 0.0):.2f} {currency}"))
    figures = [price_curve(curves[0], currency), *(value_curve(curve, currency) for curve in curves[1:])]
    scarce = [label(curve.limit) for curve in curves[1:] if prices.get(_price_name(curve.limit), 0.0) > 0]
    text = (
        f"Scarce slots: {', '.join(scarce)}."
        if scarce
        else "No slot is scarce: only money limits the plan, if anything."
    )
    return Section(
        "What limits it",
        [
            *figures,
            Table(
                ("limit", "a month", "used before", "planned now", "one more returns"),
                cells,
                "Limits of the calendar month, and the price of each: what one more unit or slot would return",
            ),
            Text(text),
        ],
    )


def _price_name(limit: MonthLimit) -> str:
    return "budget" if limit.kind == "budget" else f"{limit.kind} {limit.name}"


def left_alone_section(plan: LastPlan, currency: str) -> Section:
    """Show who is not contacted, why, and what is at stake with them."""
    cells = [
        (WHY.get(row["why"], str(row["why"])), f"{row['customers']:,}", f"{row['at_stake']:,.0f}")
        for row in plan.left_alone
    ]
    columns = ("why", "customers", f"expected loss if left alone, {currency}")
    return Section("Who is left alone, and why", [Table(columns, cells)])


def measured_section(plan: LastPlan) -> Section:
    """Show the arms with their propensities."""
    cells = [
        (
            row["arm"].replace("_", " "),
            f"{row['customers']:,}",
            f"{row['contacts']:,}",
            f"{row['propensity']:.2f}",
            f"{row['propensity_no_action']:.2f}",
        )
        for row in plan.arms
    ]
    columns = ("arm", "customers", "contacts", "propensity of what was done", "of doing nothing")
    intro = "Some customers are left alone by chance, so that the effect of contacts can be measured."
    return Section("How it will be measured", [Table(columns, cells)], intro)


def examples_section(plan: LastPlan) -> Section:
    """Show what an agent reads, one example of each kind."""
    texts = [
        Text(f"{row['arm'].replace('_', ' ').capitalize()}, {row['risk_tier']}. {row['rationale']}")
        for row in plan.examples
    ]
    return Section("Examples", texts, "What an agent reads, one customer of each kind.")


def limit_prices(run: Row) -> dict[str, float]:
    """Return the price of every limit."""
    return dict(json.loads(run["limit_prices"]))


def _short(text: str) -> str:
    return text if len(text) <= 26 else f"{text[:24].rstrip()}…"
