"""The page of a what-if: value, prices and reference policies against each limit that was asked about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models_ml.decisions.warehouse import Inputs
from models_ml.decisions.whatif import Curve
from models_ml.decisions.whatif_tables import (
    PLAN_COLUMNS,
    amount,
    is_present,
    label,
    plan_cells,
    reference_cells,
)
from models_ml.reports.figures import money, share
from models_ml.reports.page import Fact, Page, Section, Table, write_page
from models_ml.reports.policy_figures import price_curve, value_curve


def write_whatif(path: Path, curves: Sequence[Curve], *, source: str, inputs: Inputs) -> None:
    """Write the page of the curves, the budget's first."""
    write_page(path, whatif_page(curves, source=source, inputs=inputs))


def whatif_page(curves: Sequence[Curve], *, source: str, inputs: Inputs) -> Page:
    """Build the page; the first curve is that of the budget."""
    currency = inputs.terms.policy.currency
    budget = curves[0]
    present = next(answer for answer in budget.drawn if answer.monthly == budget.limit.monthly)
    best = max(budget.asked, key=lambda answer: answer.summary.value)
    return Page(
        title="What another limit would bring",
        subtitle=(
            f"source {source}, decisions of {inputs.as_of_date},"
            f" {inputs.candidates.customers:,} customers at risk"
        ),
        verdict=(
            f"At the present budget of {money(present.monthly, currency)} a month the plan is expected to return"
            f" {money(present.summary.value, currency)} net; at {money(best.monthly, currency)} it would return"
            f" {money(best.summary.value, currency)}."
        ),
        facts=[
            Fact(
                "present budget",
                money(present.monthly, currency),
                f"{money(present.summary.spend, currency)} spent",
            ),
            Fact("expected value", money(present.summary.value, currency), "net of its cost"),
            Fact(
                f"one more {currency} returns",
                f"{present.summary.budget_price:.2f} {currency}",
                "net of itself",
            ),
            Fact("proven gap", share(present.summary.gap, 3), "at most this far from the best plan"),
        ],
        sections=[_section(curve, currency) for curve in curves],
        footer=(
            "Every point is decided by the same function as the build, on the same scores; values are expectations"
            " under the present offer effects. dbt build --selector decide --vars '{monthly_budget: …}' takes the"
            " decision for good."
        ),
    )


def _section(curve: Curve, currency: str) -> Section:
    first = f"{label(curve.limit)} a month"
    marked = [at for at, answer in enumerate(curve.asked) if is_present(answer, curve)]
    figures = [value_curve(curve, currency)]
    if curve.limit.kind == "budget":
        figures.append(price_curve(curve, currency))
    return Section(
        f"Value against {label(curve.limit)}",
        [
            *figures,
            Table(
                (first, *PLAN_COLUMNS),
                [(amount(answer, curve.limit), *plan_cells(answer)) for answer in curve.asked],
                caption=f"The plan, money in {currency}",
                highlight=marked[0] if marked else None,
            ),
            Table(
                (first, "this plan", *curve.asked[0].summary.references),
                [(amount(answer, curve.limit), *reference_cells(answer)) for answer in curve.asked],
                caption=f"Expected value in {currency}, beside reference policies with the same limits",
                highlight=marked[0] if marked else None,
            ),
        ],
    )
