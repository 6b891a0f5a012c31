"""Answers of a what-if as tables of ready-made text, for the shell and the report alike."""

from __future__ import annotations

from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.table import Table

from models_ml.decisions.whatif import Answer, Curve, MonthLimit

PLAN_COLUMNS = ("spend", "contacts", "value", "next unit", "next slot", "gap")
NOTHING = "–"
SMALL_PRICE = 0.0005


def label(limit: MonthLimit) -> str:
    """Return what a limit is called in a heading: "budget", "call", "channel email"."""
    if limit.kind == "budget":
        return "budget"
    return limit.name if limit.kind == "offer" else f"{limit.kind} {limit.name}"


def slot_prices(prices: Mapping[str, float]) -> str:
    """Return what one more contact would return, for the limits where it would return something.

    Examples
    --------
    >>> slot_prices({"budget": 0.3, "offer call": 1.204, "channel email": 0.0})
    'call 1.20'
    """
    scarce = [
        f"{name.split(' ', 1)[1]} {price:.2f}"
        for name, price in sorted(prices.items(), key=lambda item: -item[1])
        if name != "budget" and price >= SMALL_PRICE
    ]
    return ", ".join(scarce) or NOTHING


def plan_cells(answer: Answer) -> tuple[str, ...]:
    """Return the cells of ``PLAN_COLUMNS``."""
    summary = answer.summary
    return (
        f"{summary.spend:,.2f}",
        f"{sum(summary.contacts):,}",
        f"{summary.value:,.2f}",
        f"{summary.budget_price:.3f}",
        slot_prices(summary.prices),
        f"{summary.gap:.1e}",
    )


def reference_cells(answer: Answer) -> tuple[str, ...]:
    """Return the expected value of the plan and of every reference policy."""
    values = [answer.summary.value, *answer.summary.references.values()]
    return tuple(f"{value:,.2f}" for value in values)


def plan_table(curve: Curve, currency: str) -> Table:
    """Return what the plan does at every amount asked for, for the shell."""
    unit = currency if curve.limit.kind == "budget" else "contacts"
    table = _table(f"Under another {label(curve.limit)} ({unit} a month), money in {currency}")
    for column in ("a month", *PLAN_COLUMNS):
        table.add_column(column, justify="right")
    for answer in curve.asked:
        table.add_row(
            amount(answer, curve.limit),
            *plan_cells(answer),
            style="bold" if is_present(answer, curve) else None,
        )
    return table


def reference_table(curve: Curve, currency: str) -> Table:
    """Return what the plan and every reference policy would earn, for the shell."""
    table = _table(f"Value in {currency}, beside what simpler policies would earn")
    for column in ("a month", "this plan", *curve.asked[0].summary.references):
        table.add_column(column, justify="right")
    for answer in curve.asked:
        table.add_row(
            amount(answer, curve.limit),
            *reference_cells(answer),
            style="bold" if is_present(answer, curve) else None,
        )
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def amount(answer: Answer, limit: MonthLimit) -> str:
    """Return the monthly amount that was asked for."""
    is_whole = limit.kind != "budget" or answer.monthly == int(answer.monthly)
    return f"{answer.monthly:,.0f}" if is_whole else f"{answer.monthly:,.2f}"


def is_present(answer: Answer, curve: Curve) -> bool:
    """Say whether this is the amount that the policy has at present."""
    return answer.monthly == curve.limit.monthly
