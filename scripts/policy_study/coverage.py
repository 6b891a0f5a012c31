"""How often intervals hold the known value, and how far estimates lie from it, over many replications."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models_ml.evaluation import PolicyValue, policy_value
from policy_study.world import Logged, play

COMPARED = (("dr", "margin"), ("snips", "margin"), ("snips", "loss"), ("ips", "margin"), ("ips", "loss"))


@dataclass(frozen=True)
class Outcome:
    """One method over all replications: ``error`` (n,) is estimate less truth, money in total."""

    method: str
    reward: str
    error: np.ndarray
    half_width: np.ndarray

    @property
    def coverage(self) -> float:
        """Share of intervals that hold the truth."""
        return float(np.mean(np.abs(self.error) <= self.half_width))

    @property
    def bias(self) -> float:
        """Mean error, in standard errors of that mean; beyond ±3 an estimator is biased."""
        return float(self.error.mean() / (self.error.std(ddof=1) / np.sqrt(len(self.error))))

    @property
    def rmse(self) -> float:
        """Root-mean-square error."""
        return float(np.sqrt(np.mean(self.error**2)))


def study(
    *,
    replications: int,
    holdout: float,
    customers: int,
    months: int,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> list[Outcome]:
    """Play the world again and again; return every method and reward of ``COMPARED``.

    Parameters
    ----------
    replications, customers, months : int, >= 2, >= 1, >= 1
    holdout : float, 0.05 to 0.95
    seed : int
    advance : callable
        Called after every replication.
    """
    found = np.zeros((replications, len(COMPARED), 2))
    for replication in range(replications):
        logged = play(
            customers=customers,
            months=months,
            holdout=holdout,
            random=np.random.default_rng([seed, replication, round(1000 * holdout)]),
        )
        truth = float(logged.true_value[logged.planned > 0].sum())
        for position, (method, reward) in enumerate(COMPARED):
            estimate = _estimate(logged, method, reward).times(len(logged.customer))
            found[replication, position] = estimate.value - truth, (estimate.high - estimate.low) / 2
        advance()
    return [Outcome(*key, *found[:, position].T) for position, key in enumerate(COMPARED)]


def _estimate(logged: Logged, method: str, reward: str) -> PolicyValue:
    """Value per customer-month of the plan against contacting nobody, from all rows."""
    stays = logged.customer_value if reward == "margin" else np.zeros(len(logged.customer))
    expected = np.column_stack([logged.predicted_nothing, logged.predicted_planned]) + stays[:, None]
    return policy_value(
        logged.is_contacted.astype(np.int64),
        logged.propensity,
        logged.loss + stays,
        (logged.planned > 0).astype(np.int64),
        reference=0,
        predicted_reward=expected,
        cluster=logged.customer,
        method=method,  # type: ignore[arg-type]
    )
