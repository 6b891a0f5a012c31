"""The page of a what-if: value, prices and reference policies against each limit that was asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as TerminalTable

from models_ml.decisions.what_if import Answer, Curve, MonthLimit, WhatIfInputs
from models_ml.reports.figures import money, share
from models_ml.reports.page import Fact, Page, Section, Table, write_page
from models_ml.reports.policy_figures import limit_words, price_curve, value_curve
from models_ml.warehouse import build_command

PLAN_COLUMNS = ("open now", "cost", "contacts", "value", "price of budget", "prices of capacity", "gap")
PLAN_TERMS = (
    "Open now: what this run may use of the monthly amount. Price: what one more unit of a limit would return beyond"
    " its cost. Gap: how far, at most, the plan lies below the best possible one."
)
NOTHING = "–"
SMALL_PRICE = 0.0005
DECIDE = "--selector decide --vars '{monthly_budget: …}'"


def capacity_prices(prices: Mapping[str, float]) -> str:
    """Return what one more contact would return, for the limits where it would return something.

    Examples
    --------
    >>> capacity_prices({"budget": 0.3, "offer call": 1.204, "channel email": 0.0})
    'call 1.20'
    """
    scarce = [
        f"{name.split(' ', 1)[1]} {price:.2f}"
        for name, price in sorted(prices.items(), key=lambda item: -item[1])
        if name != "budget" and price >= SMALL_PRICE
    ]
    return ", ".join(scarce) or NOTHING


def plan_cells(answer: Answer, limit: MonthLimit) -> tuple[str, ...]:
    """Return the cells of ``PLAN_COLUMNS``; cost and contacts are planned, the value is expected and net of cost."""
    summary = answer.summary
    return (
        _in_its_unit(answer.available, limit),
        f"{summary.spend:,.2f}",
        f"{sum(summary.contacts):,}",
        f"{summary.value:,.2f}",
        f"{summary.budget_price:.3f}",
        capacity_prices(summary.prices),
        share(summary.gap, 2),
    )


def reference_cells(answer: Answer) -> tuple[str, ...]:
    """Return the expected value of the plan and of every reference policy."""
    values = [answer.summary.value, *answer.summary.references.values()]
    return tuple(f"{value:,.2f}" for value in values)


def print_curves(console: Console, curves: Sequence[Curve], currency: str) -> None:
    """Print both tables of every curve."""
    for curve in curves:
        console.print(plan_table(curve, currency))
        console.print(reference_table(curve, currency))


def plan_table(curve: Curve, currency: str) -> TerminalTable:
    """Return what the plan does at every amount asked for, for the shell."""
    unit = currency if curve.limit.kind == "budget" else "contacts"
    table = _table(f"Plans under another monthly {_name(curve)} ({unit}); money in {currency}, expected")
    table.caption, table.caption_justify = PLAN_TERMS, "left"
    for column in ("a month", *PLAN_COLUMNS):
        table.add_column(column, justify="right")
    for answer in curve.asked:
        table.add_row(
            amount(answer, curve.limit),
            *plan_cells(answer, curve.limit),
            style="bold" if is_present(answer, curve) else None,
        )
    return table


def reference_table(curve: Curve, currency: str) -> TerminalTable:
    """Return what the plan and every reference policy would earn, for the shell."""
    table = _table(f"Expected value in {currency}, beside that of simpler policies")
    for column in ("a month", "this plan", *curve.asked[0].summary.references):
        table.add_column(column, justify="right")
    for answer in curve.asked:
        table.add_row(
            amount(answer, curve.limit),
            *reference_cells(answer),
            style="bold" if is_present(answer, curve) else None,
        )
    return table


def _name(curve: Curve) -> str:
    return limit_words(curve.limit.kind, curve.limit.name)


def _table(title: str) -> TerminalTable:
    return TerminalTable(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def amount(answer: Answer, limit: MonthLimit) -> str:
    """Return the monthly amount that was asked for."""
    return _in_its_unit(answer.monthly, limit)


def _in_its_unit(number: float, limit: MonthLimit) -> str:
    is_whole = limit.kind != "budget" or number == int(number)
    return f"{number:,.0f}" if is_whole else f"{number:,.2f}"


def is_present(answer: Answer, curve: Curve) -> bool:
    """Say whether this is the amount that the policy has at present."""
    return answer.monthly == curve.limit.monthly


def write_whatif(
    path: Path, curves: Sequence[Curve], *, source: str, inputs: WhatIfInputs, warning: str | None
) -> None:
    """Write the page of the curves, the budget's first."""
    write_page(path, whatif_page(curves, source=source, inputs=inputs, warning=warning))


def whatif_page(curves: Sequence[Curve], *, source: str, inputs: WhatIfInputs, warning: str | None) -> Page:
    """Build the page; the first curve is that of the budget, ``warning`` that of the deployed pipeline."""
    currency = inputs.decision.policy.currency
    budget = curves[0]
    present = next(answer for answer in budget.drawn if answer.monthly == budget.limit.monthly)
    best = max(budget.asked, key=lambda answer: answer.summary.value)
    return Page(
        title=f"Plans under other limits: {source}",
        subtitle=f"Decisions of {inputs.as_of_date}: {inputs.customers.number:,} customers at risk.",
        verdict=_verdict(present, best, currency),
        warning=warning,
        facts=[
            Fact(
                "Present budget",
                money(present.monthly, currency),
                f"a month; {money(present.available, currency)} open to this run, of which"
                f" {money(present.summary.spend, currency)} planned cost",
            ),
            Fact("Planned value", money(present.summary.value, currency), "expected, net of its cost"),
            Fact(
                "Price of the budget",
                f"{present.summary.budget_price:.2f} {currency}",
                f"one more {currency} returns this beyond itself",
            ),
            Fact(
                "Below the best plan",
                f"at most {share(present.summary.gap, 3)}",
                "the best possible one within these limits; a proven bound",
            ),
        ],
        sections=[_section(curve, currency) for curve in curves],
        footer=(
            "Every plan is made by the function that decides in the build, on the same scores; values are expectations"
            " under the present offer effects. Nothing in the warehouse changes: to decide under another limit, run"
            f" {build_command(source, DECIDE)}."
        ),
    )


def _verdict(present: Answer, best: Answer, currency: str) -> str:
    """Say what tonight's plan would return, and under the best of the budgets asked for where that is another."""
    words = (
        f"Tonight's plan, with {money(present.available, currency)} of {money(present.monthly, currency)} a month open"
        f" to it, is expected to return {money(present.summary.value, currency)} net"
    )
    if best.monthly == present.monthly:
        return f"{words}."
    return (
        f"{words}; with {money(best.available, currency)} of {money(best.monthly, currency)} it would return"
        f" {money(best.summary.value, currency)}."
    )


def _section(curve: Curve, currency: str) -> Section:
    amounts = f"{'budget' if curve.limit.kind == 'budget' else 'contacts'} a month"
    marked = [at for at, answer in enumerate(curve.asked) if is_present(answer, curve)]
    figures = [value_curve(curve, currency)]
    if curve.limit.kind == "budget":
        figures.append(price_curve(curve, currency))
    return Section(
        f"Another monthly {_name(curve)}",
        [
            *figures,
            Table(
                (amounts, *PLAN_COLUMNS),
                [(amount(answer, curve.limit), *plan_cells(answer, curve.limit)) for answer in curve.asked],
                caption=f"The plan, money in {currency}. {PLAN_TERMS}",
                highlight=marked[0] if marked else None,
            ),
            Table(
                (amounts, "this plan", *curve.asked[0].summary.references),
                [(amount(answer, curve.limit), *reference_cells(answer)) for answer in curve.asked],
                caption=f"Expected value in {currency}, beside simpler policies under the same limits",
                highlight=marked[0] if marked else None,
            ),
        ],
    )
