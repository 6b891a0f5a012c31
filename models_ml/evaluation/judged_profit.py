"""Comparing candidates in money: what the contacts of each candidate's plan would have been worth.

Judged profit = Σ w · [y · (1 − ρ) · V − c − q·g] over the contacts of a plan, where y is the churn observed among
customers without contact, w = 1 / propensity of no action, and ρ, V come from one reference churn probability for
all candidates (their mean, recalibrated to observed churn), so that no candidate is judged by its own probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from models_ml.errors import BayesPilotError
from models_ml.evaluation.arrays import as_numbers


@dataclass(frozen=True)
class JudgedProfit:
    """Profit of one candidate's plan, its shortfall to the best candidate, and standard errors of both; money."""

    profit: float
    standard_error: float
    shortfall: float
    shortfall_standard_error: float


def contact_values(
    choice: np.ndarray,
    has_churned: np.ndarray,
    weight: np.ndarray,
    *,
    relative_risk: np.ndarray,
    customer_value: np.ndarray,
    expected_cost: np.ndarray,
) -> np.ndarray:
    """Return what each row of a plan was worth, money, shape (n,); 0 where no contact is made.

    Parameters
    ----------
    choice : ndarray of shape (n,), int
        Chosen offer, -1 for none.
    has_churned : ndarray of shape (n,), bool
    weight : ndarray of shape (n,), > 0
    relative_risk : ndarray of shape (n, offers)
    customer_value : ndarray of shape (n,), money
    expected_cost : ndarray of shape (n, offers), money, contact plus expected incentive

    Examples
    --------
    >>> contact_values(
    ...     np.array([0, 0, -1]),
    ...     np.array([True, False, True]),
    ...     np.ones(3),
    ...     relative_risk=np.full((3, 1), 0.8),
    ...     customer_value=np.full(3, 100.0),
    ...     expected_cost=np.full((3, 1), 5.0),
    ... ).round(9)
    array([15., -5.,  0.])
    """
    rows = np.flatnonzero(choice >= 0)
    offer = choice[rows]
    saved = has_churned[rows] * (1 - relative_risk[rows, offer]) * customer_value[rows]
    values = np.zeros(len(choice))
    values[rows] = weight[rows] * (saved - expected_cost[rows, offer])
    return values


def compare_profits(
    values: Mapping[str, np.ndarray], *, bootstraps: int, seed: int
) -> dict[str, JudgedProfit]:
    """Total each candidate's plan and bootstrap the shortfall to the best, paired over customers.

    Plans stay fixed; customers are resampled, the same draw for every candidate.

    Parameters
    ----------
    values : mapping of candidate to ndarray of shape (n,)
        From `contact_values`, over the same customers in the same order.
    """
    table = np.column_stack(list(values.values()))
    totals = table.sum(axis=0)
    best = int(np.argmax(totals))
    # Rows that no plan contacts add nothing: they are drawn as one group.
    contacted = table[np.any(table != 0, axis=1)]
    resampled = _resample(contacted, len(table), bootstraps, seed)
    spread = _deviation(resampled)
    gap_spread = _deviation(resampled[:, [best]] - resampled)
    return {
        name: JudgedProfit(
            float(totals[i]), float(spread[i]), float(totals[best] - totals[i]), float(gap_spread[i])
        )
        for i, name in enumerate(values)
    }


def probability_better(
    challenger_values: ArrayLike, champion_values: ArrayLike, *, bootstraps: int, seed: int
) -> float:
    """Return the share of bootstraps in which the challenger's contacts are worth more, 0 to 1.

    Plans stay fixed; customers are resampled, the same draw for both. A draw in which both are worth the same
    is no win: a pipeline is never better than itself.

    Parameters
    ----------
    challenger_values, champion_values : array-like of shape (n,), money
        From `contact_values`, over the same customers in the same order.

    Raises
    ------
    BayesPilotError
        If they are not finite numbers, hold no customer, or are not of one length.

    Examples
    --------
    >>> champion = np.array([5.0, -1.0, 0.0, 0.0])
    >>> probability_better(champion + [0, 3, 0, 1], champion, bootstraps=200, seed=1) > 0.9
    True
    >>> probability_better(champion, champion, bootstraps=200, seed=1)
    0.0
    """
    challenger = as_numbers("challenger_values", challenger_values)
    champion = as_numbers("champion_values", champion_values)
    if challenger.ndim != 1 or challenger.shape != champion.shape or not len(challenger):
        raise BayesPilotError(
            "challenger_values and champion_values are not two columns of the same customers",
            values=[challenger.shape, champion.shape],
            next_step="value both plans over the same customers in the same order",
        )
    gain = challenger - champion
    resampled = _resample(gain[gain != 0][:, None], len(gain), bootstraps, seed)
    return float(np.mean(resampled > 0))


def simplest_within_one_error(judged: Mapping[str, JudgedProfit], simplest_first: Sequence[str]) -> str:
    """Return the first candidate whose shortfall to the best is at most one standard error of it.

    Examples
    --------
    >>> judged = {"simple": JudgedProfit(95.0, 9.0, 5.0, 6.0), "complex": JudgedProfit(100.0, 9.0, 0.0, 0.0)}
    >>> simplest_within_one_error(judged, ["simple", "complex"])
    'simple'
    """
    return next(
        name for name in simplest_first if judged[name].shortfall <= judged[name].shortfall_standard_error
    )


def _resample(contacted: np.ndarray, customers: int, bootstraps: int, seed: int) -> np.ndarray:
    """Return bootstrapped totals, shape (bootstraps, candidates)."""
    random = np.random.default_rng(seed)
    totals = np.zeros((bootstraps, contacted.shape[1]))
    if len(contacted) == 0:
        return totals
    for draw in range(bootstraps):
        taken = random.binomial(customers, len(contacted) / customers)
        counts = np.bincount(random.integers(0, len(contacted), taken), minlength=len(contacted))
        totals[draw] = (counts[:, None] * contacted).sum(axis=0)  # no BLAS: the same bits on any thread count
    return totals


def _deviation(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.std(axis=0, ddof=1))
