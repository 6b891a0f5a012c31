"""The seeds of a simulated business: limits for its size, a trial to learn from, and what it believes at first."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models_ml.errors import BayesPilotError
from simulation.business import Business, Row, rewrite_seed

SEEDED_CUSTOMERS = 5_000  # the size of the business for which the limits of seeds/demo are made
LIMITS = ("monthly_budget", "monthly_capacity_email", "monthly_capacity_phone", "monthly_capacity_push")
OWN_PRIORS = "demo"


@dataclass(frozen=True)
class FlatPrior:
    """The same belief about every offer: log-odds of churn at no signal, and per unit of any signal."""

    intercept_mean: float
    intercept_sd: float
    signal_mean: float
    signal_sd: float
    source: str


FLAT_PRIORS: Mapping[str, FlatPrior] = {
    "none": FlatPrior(-0.05, 0.3, 0.0, 0.4, "knows nothing: contacts help a little, or not"),
    "wrong": FlatPrior(
        math.log(0.5), 0.3, 0.0, 0.3, "wrong on purpose: every offer halves the odds of leaving"
    ),
}


def set_up(business: Business, *, customers: int, trial_share: float, priors: str) -> None:
    """Write the copy's seeds: limits in proportion to its customers, the trial's share, the priors.

    ``priors`` is ``demo`` (as shipped), a name of ``FLAT_PRIORS``, or the path of a CSV file with the columns
    of ``offer_effect_priors.csv``.
    """
    scale = customers / SEEDED_CUSTOMERS
    changed = {"trial_share": f"{trial_share:g}"}

    def policy(rows: list[Row]) -> list[Row]:
        for row in rows:
            if row["parameter"] in LIMITS:
                row["value"] = str(round(float(row["value"]) * scale))
            row["value"] = changed.get(row["parameter"], row["value"])
        return rows

    def offers(rows: list[Row]) -> list[Row]:
        return [
            {**row, "monthly_capacity": str(round(float(row["monthly_capacity"]) * scale))} for row in rows
        ]

    rewrite_seed(business, "policy", policy)
    rewrite_seed(business, "offers", offers)
    rewrite_seed(business, "offer_effect_priors", lambda rows: prior_rows(priors, rows))


def prior_rows(priors: str, shipped: list[Row]) -> list[Row]:
    """Return the rows of offer_effect_priors.csv for a named set of priors or a file.

    Raises
    ------
    BayesPilotError
        When it is neither a name nor a file.
    """
    if priors == OWN_PRIORS:
        return shipped
    if priors in FLAT_PRIORS:
        return [_flat(row, FLAT_PRIORS[priors]) for row in shipped]
    if not Path(priors).is_file():
        raise BayesPilotError(
            f"there are no priors {priors!r}",
            next_step=f"name one of {', '.join([OWN_PRIORS, *FLAT_PRIORS])}, or a CSV file",
        )
    with Path(priors).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _flat(row: Row, prior: FlatPrior) -> Row:
    is_intercept = row["signal"] == "intercept"
    mean = prior.intercept_mean if is_intercept else prior.signal_mean
    sd = prior.intercept_sd if is_intercept else prior.signal_sd
    return {**row, "mean": f"{mean:.6f}", "sd": f"{sd:.6f}", "source": prior.source}
