"""Churn probabilities that differ from what happened by more than chance: refused at first, or let through and said.

A pipeline that is right on both dates still misses on the judged date, because so many customers and no more left on
it, and because its level was learned from the churners of the calibration date. The range of the ratio counts both:
with the judged date alone, one of fourteen pipelines that are right would be refused in a small business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from scipy.stats import norm

from models_ml.errors import BayesPilotError
from models_ml.training.examples import DateCount, Examples
from models_ml.training.settings import Promotion
from models_ml.training.stage import TrainingResult

ALLOW = "allow_miscalibrated"  # the variable of dbt


@dataclass(frozen=True)
class Outcomes:
    """What was predicted of the customers of one date, and what happened: arrays of shape (n,)."""

    has_churned: np.ndarray
    churn_probability: np.ndarray
    weight: np.ndarray

    @property
    def ratio(self) -> float:
        """Predicted over observed churn."""
        return float((self.weight * self.churn_probability).sum() / (self.weight * self.has_churned).sum())

    @property
    def variance_of_log_churn(self) -> float:
        """Squared relative standard error of the observed churn: Σ w²·y·(1 − p) / (Σ w·y)².

        For probabilities that are right its expectation is that of Σ w²·p·(1 − p), the variance of Σ w·y.
        """
        churn = self.weight * self.has_churned
        return float((self.weight * churn * (1 - self.churn_probability)).sum() / churn.sum() ** 2)


@dataclass(frozen=True)
class Miscalibration:
    """A calibration ratio that chance does not explain, with the range that it does."""

    candidate: str
    judged_on: date
    ratio: float
    low: float
    high: float

    @property
    def finding(self) -> str:
        """What is wrong, as words that stand behind the name of the pipeline."""
        return (
            f"predicted {self.ratio:.2f} times the churn that was observed after {self.judged_on}, outside the range"
            f" of {self.low:.2f} to {self.high:.2f} that chance explains 99 times of 100"
        )

    @property
    def warning(self) -> str:
        """What people read as long as the pipeline is deployed, one sentence."""
        return f"The deployed churn probabilities failed their check: {self.candidate} {self.finding}."


def chance_range(judged: Outcomes, calibrated: Outcomes, confidence: float) -> tuple[float, float]:
    """Return the range of calibration ratios of a pipeline whose probabilities are right on both dates.

    The logarithm of the ratio has the variance of the logarithms of both observed churns together, as in the interval
    of a ratio of two rates (Katz et al. 1978, "Obtaining confidence intervals for the risk ratio in cohort studies",
    Biometrics 34); normal approximation. Few churners give a wide range.

    Parameters
    ----------
    judged, calibrated : Outcomes
        Both with at least one churner.
    confidence : float, 0 to 1
        Share of right pipelines that lie within it.

    Examples
    --------
    >>> few = Outcomes(np.arange(1000) < 25, np.full(1000, 0.025), np.ones(1000))
    >>> low, high = chance_range(few, few, 0.99)  # √(0.975/25 + 0.975/25) = 0.279; times 2.576 = 0.719
    >>> round(low, 2), round(high, 2)
    (0.49, 2.05)
    """
    deviation = math.sqrt(judged.variance_of_log_churn + calibrated.variance_of_log_churn)
    reach = float(norm.ppf((1 + confidence) / 2)) * deviation
    return math.exp(-reach), math.exp(reach)


def find_miscalibration(
    candidate: str, judged_on: date, judged: Outcomes, calibrated: Outcomes, bounds: Promotion
) -> Miscalibration | None:
    """Return what is wrong where the ratio fails its guardrail and lies outside what chance explains, else None."""
    ratio = judged.ratio
    low, high = chance_range(judged, calibrated, bounds.first_range_confidence)
    holds = bounds.calibration_ratio_from <= ratio <= bounds.calibration_ratio_to
    if holds or low <= ratio <= high:
        return None
    return Miscalibration(candidate, judged_on, ratio, low, high)


def miscalibration_of(result: TrainingResult, bounds: Promotion) -> Miscalibration | None:
    """Return the miscalibration of a training's winner as it was judged, or None."""
    winner, judged_on = result.judged.pipelines[result.chosen], result.judged.split.judged_on
    assert judged_on is not None, "a training judges"
    found = result.diagnostics
    return find_miscalibration(
        result.chosen,
        judged_on,
        Outcomes(found.has_churned, found.candidates[result.chosen].churn_probability, found.weight),
        _outcomes(result.judged.calibration, winner.score(result.judged.calibration.features)[0]),
        bounds,
    )


def refuse_miscalibration(found: Miscalibration, counts: Sequence[DateCount]) -> None:
    """Refuse to deploy where nothing competes.

    Raises
    ------
    BayesPilotError
        With the churn of the dates, the judged one first, and the two ways on.
    """
    latest = sorted(counts, key=lambda count: count.as_of_date, reverse=True)
    raise BayesPilotError(
        f"not deployed: {found.candidate} {found.finding}",
        where=f"training_examples, judged on {found.judged_on}",
        values=[
            f"{count.as_of_date}: {100 * count.churners / count.rows:.2f} % of {count.rows:,} left"
            for count in latest
        ],
        next_step=(
            "find out why churn differs between these dates (missing rows, a changed feed, another churn definition),"
            " correct it and build again; or deploy it as it is, with a warning wherever scores are shown:"
            f" dbt build --vars '{{{ALLOW}: true}}', or bayespilot train --allow-miscalibrated"
        ),
    )


def _outcomes(examples: Examples, churn_probability: np.ndarray) -> Outcomes:
    return Outcomes(examples.has_churned, churn_probability, examples.example_weight)
