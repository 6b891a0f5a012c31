"""Figures of the policy report and of what-ifs: value against a limit, reference policies, offers, tiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models_ml.decisions.whatif import Curve
from models_ml.decisions.whatif_tables import label
from models_ml.reports.figures import PALETTE, QUIET, axes, svg
from models_ml.reports.page import Figure

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
