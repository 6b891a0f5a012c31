"""The figures of plans: value and price against a limit, plans beside each other, value and cost by group.

Every drawing function returns a `Figure`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap

from models_ml.decisions.what_if import Curve
from models_ml.reports.figures import PALETTE, QUIET, axes, plain_number, svg
from models_ml.reports.page import Figure

PLAN, GREEDY, BREAK_EVEN, RISK = PALETTE[0], PALETTE[2], PALETTE[4], PALETTE[1]
DRAWN = {"greedy": GREEDY, "break-even": BREAK_EVEN, "top risk": RISK}
PLAN_NAME = "this plan"
NAME_WIDTH = 24  # letters of an offer's name on one line


def limit_words(kind: str, name: str) -> str:
    """Return what a limit of the month is called.

    Examples
    --------
    >>> limit_words("budget", "EUR"), limit_words("offer", "nudge_email"), limit_words("channel", "phone")
    ('budget', 'capacity of offer nudge_email', 'capacity of channel phone')
    """
    return "budget" if kind == "budget" else f"capacity of {kind} {name}"


def value_curve(curve: Curve, currency: str) -> Figure:
    """Draw expected value against one limit, the present amount marked, reference policies beside it."""
    name = limit_words(curve.limit.kind, curve.limit.name)
    amounts = [answer.monthly for answer in curve.drawn]
    with axes() as (figure, axis):
        lines = {policy: [answer.summary.references[policy] for answer in curve.drawn] for policy in DRAWN}
        lines[PLAN_NAME] = [answer.summary.value for answer in curve.drawn]
        for policy, colour in DRAWN.items():
            axis.plot(amounts, lines[policy], color=colour, linewidth=1.2, linestyle="--", label=policy)
        axis.plot(amounts, lines[PLAN_NAME], color=PLAN, label=PLAN_NAME)
        present = next(answer for answer in curve.drawn if answer.monthly == curve.limit.monthly)
        axis.plot([present.monthly], [present.summary.value], "o", color=PLAN, markersize=8)
        axis.annotate(
            "at present",
            (present.monthly, present.summary.value),
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )
        axis.set_xlabel(f"{name} a month, {currency if curve.limit.kind == 'budget' else 'contacts'}")
        axis.set_ylabel(f"expected value, {currency}")
        lowest = min(0.0, *(min(values) for values in lines.values()))
        highest = max(0.0, *(max(values) for values in lines.values()))
        margin = 0.15 * (highest - lowest) or 1.0
        axis.set_ylim(lowest - margin if lowest < 0 else 0, highest + margin)
        if lowest < 0:
            axis.axhline(0, color=QUIET, linewidth=1)
        axis.legend(fontsize=9)
        caption = (
            f"Expected value, net of cost, under another monthly {name}. Contacts of the trial, which may use a share"
            " of every limit, are left out: a larger trial leaves fewer customers to the plan."
        )
        return Figure(svg(figure), caption)


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
        caption = (
            f"Price of the budget: what one more {currency} would return beyond itself; dotted: at present."
        )
        return Figure(svg(figure), caption)


def value_bars(values: Mapping[str, float], currency: str, caption: str) -> Figure:
    """Draw one bar a policy, the first one being the plan."""
    names = list(values)[::-1]
    with axes() as (figure, axis):
        colours = [PLAN if name == next(iter(values)) else QUIET for name in names]
        bars = axis.barh(names, [values[name] for name in names], color=colours)
        axis.bar_label(bars, labels=[plain_number(round(values[name])) for name in names], padding=4)
        axis.margins(x=0.25 if min(values.values()) < 0 else 0.15)  # labels left of zero keep off the names
        axis.axvline(0, color=QUIET, linewidth=1)
        axis.grid(axis="y", visible=False)
        axis.set_xlabel(f"expected value, {currency}")
        return Figure(svg(figure), caption)


def value_and_cost(
    names: Sequence[str], value: Sequence[float], cost: Sequence[float], currency: str, caption: str
) -> Figure:
    """Draw value and cost side by side per group."""
    with axes() as (figure, axis):
        places = range(len(names))[::-1]
        upper = axis.barh([at + 0.2 for at in places], value, height=0.38, color=PLAN, label="expected value")
        lower = axis.barh([at - 0.2 for at in places], cost, height=0.38, color=RISK, label="expected cost")
        for bars, amounts in ((upper, value), (lower, cost)):
            axis.bar_label(
                bars, labels=[plain_number(round(amount)) for amount in amounts], padding=3, fontsize=9
            )
        axis.set_yticks(list(places), ["\n".join(wrap(name, NAME_WIDTH)) for name in names], fontsize=9)
        axis.margins(x=0.15)
        axis.grid(axis="y", visible=False)
        axis.set_xlabel(currency)
        figure.legend(fontsize=9, loc="outside upper right", ncols=2)
        return Figure(svg(figure), caption)
