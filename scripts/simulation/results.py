"""What months add up to: per policy and seed, shares of the best plan's gain, and the files that keep them."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from models_ml.decisions.references import POLICIES
from simulation.appraisal import BEST, OWN, UNMEASURED
from simulation.loop import Month

NOBODY = "contact nobody"
POLICY_ORDER = (OWN, UNMEASURED, *POLICIES, BEST)
MONTHS_FILE, BELIEFS_FILE, EFFECTS_FILE = "months.csv", "relative_risks.csv", "effects.csv"


def seeds_of(months: Iterable[Month]) -> list[int]:
    """Return the seeds in order of their appearance."""
    return list(dict.fromkeys(month.seed for month in months))


def of_seed(months: Iterable[Month], seed: int) -> list[Month]:
    """Return the months of one seed."""
    return [month for month in months if month.seed == seed]


def total(months: Iterable[Month], policy: str) -> float:
    """Return what a policy would have earned over some months."""
    return math.fsum(month.appraisal.values[policy] for month in months)


def mean_by_month(months: Sequence[Month], policy: str) -> list[float]:
    """Return what a policy earns in each month, averaged over seeds."""
    numbers = sorted({month.number for month in months})
    return [
        fmean(month.appraisal.values[policy] for month in months if month.number == number)
        for number in numbers
    ]


def share_of_best(months: Sequence[Month], policy: str = OWN) -> float:
    """Return the share of the best possible plan's gain over some months; not a number where that is 0."""
    best = total(months, BEST)
    return total(months, policy) / best if best > 0 else math.nan


def write_results(folder: Path, months: Sequence[Month]) -> list[Path]:
    """Write one CSV row per month, per month and offer, and per month, offer and signal."""
    folder.mkdir(parents=True, exist_ok=True)
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
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(content[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(content)
    return [folder / name for name in rows]


def _figures(month: Month) -> dict[str, Any]:
    judged = month.appraisal
    return {
        **{f"value {name}": round(judged.values[name], 2) for name in POLICY_ORDER},
        "expected value": round(judged.expected, 2),
        "value of the trial": round(judged.trial, 2),
        "value withheld": round(judged.withheld, 2),
        "customers": judged.customers,
        "contacts": judged.contacts,
        "executed": month.executed,
        "accepted": month.accepted,
        "cost": round(month.cost, 2),
        "build seconds": round(month.build.seconds, 1),
        "build CPU seconds": round(month.build.cpu_seconds, 1),
    }
