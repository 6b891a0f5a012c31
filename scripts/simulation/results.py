"""Totals over months: per policy and seed, as shares of the best plan's gain, as CSV files, and the targets."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from models_ml.decisions.references import REFERENCE_POLICIES
from simulation.loop import Month
from simulation.true_value import BEST, NOBODY, NOTHING_WITHHELD, OWN, SIMPLE_RULES

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CURRENCY = "EUR"
POLICY_ORDER = (OWN, NOTHING_WITHHELD, *REFERENCE_POLICIES, BEST)
RECOVERED_BY = 3  # months
MONTHS_FILE, BELIEFS_FILE, EFFECTS_FILE = "months.csv", "relative_risks.csv", "effects.csv"


def seeds_of(months: Iterable[Month]) -> list[int]:
    """Return the seeds in order of their appearance."""
    return list(dict.fromkeys(month.seed for month in months))


def of_seed(months: Iterable[Month], seed: int) -> list[Month]:
    """Return the months of one seed."""
    return [month for month in months if month.seed == seed]


def total(months: Iterable[Month], policy: str) -> float:
    """Return what a policy would have earned over some months."""
    return math.fsum(month.value.by_policy[policy] for month in months)


def mean_by_month(months: Sequence[Month], policy: str) -> list[float]:
    """Return what a policy earns in each month, averaged over seeds."""
    numbers = sorted({month.number for month in months})
    return [
        fmean(month.value.by_policy[policy] for month in months if month.number == number)
        for number in numbers
    ]


def share_of_best(months: Sequence[Month], policy: str = OWN) -> float:
    """Return the share of the best possible plan's gain over some months; not a number where that is 0."""
    best = total(months, BEST)
    return total(months, policy) / best if best > 0 else math.nan


def write_results(folder: Path, months: Sequence[Month]) -> list[Path]:
    """Write one CSV row per month, per month and offer, and per month, offer and signal."""
    key = [{"seed": month.seed, "month": month.number, "as_of_date": month.as_of_date} for month in months]
    rows: dict[str, list[dict[str, Any]]] = {
        MONTHS_FILE: [{**at, **_figures(month)} for at, month in zip(key, months, strict=True)],
        BELIEFS_FILE: [
            {**at, **asdict(risk)} for at, month in zip(key, months, strict=True) for risk in month.risks
        ],
        EFFECTS_FILE: [
            {**at, **asdict(each)}
            for at, month in zip(key, months, strict=True)
            for each in month.coefficients
        ],
    }
    for name, content in rows.items():
        _write(folder / name, content)
    return [folder / name for name in rows]


def write_rows(path: Path, rows: Sequence[DataclassInstance]) -> None:
    """Write a CSV file with a row each, and the folder that it lies in."""
    _write(path, [asdict(row) for row in rows])


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _figures(month: Month) -> dict[str, Any]:
    value = month.value
    return {
        **{f"value {name}": round(value.by_policy[name], 2) for name in POLICY_ORDER},
        "expected value": round(value.expected, 2),
        "value of the trial": round(value.trial, 2),
        "value withheld": round(value.withheld, 2),
        "customers": value.customers,
        "contacts": value.contacts,
        "executed": month.executed,
        "accepted": month.accepted,
        "cost": round(month.cost, 2),
        "build seconds": round(month.build.seconds, 1),
        "build CPU seconds": round(month.build.cpu_seconds, 1),
    }


def missed_targets(months: Sequence[Month]) -> list[str]:
    """Name the targets that are missed, in words: the policy learns, beats simple rules, recovers from wrong beliefs.

    On average over seeds the last month earns more than the first. In every world the total exceeds that of contacting
    nobody and of the three simple rules, and at least one of the first three months is positive, whatever the priors.
    """
    by_month = mean_by_month(months, OWN)
    missed = []
    if len(by_month) > 1 and by_month[-1] <= by_month[0]:
        missed.append(
            f"month {len(by_month)} earns {by_month[-1]:,.0f} on average, month 1 {by_month[0]:,.0f}"
        )
    for seed in seeds_of(months):
        world = of_seed(months, seed)
        own = total(world, OWN)
        missed += [
            f"seed {seed} earns {own:,.0f}, {rule} {total(world, rule):,.0f}"
            for rule in (NOBODY, *SIMPLE_RULES)
            if own <= total(world, rule)
        ]
        if not any(month.value.by_policy[OWN] > 0 for month in world if month.number <= RECOVERED_BY):
            missed.append(f"seed {seed} has no positive month among the first {RECOVERED_BY}")
    return missed
