"""Profit of churn probabilities: that of the plans made from them, and maximum profit measures of their ranking.

*Judged profit* compares candidates in money: what the contacts of each candidate's plan would have been worth. It is
Σ w · [y · (1 − ρ) · V − c − q·g] over the contacts of a plan, where y is the churn observed among customers without
contact, w = 1 / propensity of no action, and ρ, V come from one reference churn probability for all candidates (their
mean, recalibrated to observed churn), so that no candidate is judged by its own probabilities. It selects candidates.

*Maximum profit measures* compare rankings across studies. Source: Verbraken, Verbeke and Baesens (2013), "A novel
profit maximizing metric for measuring classification performance of customer churn prediction models", IEEE TKDE 25(5),
equations 5 and 9. A share γ of the contacted customers who would churn accepts and stays; γ ~ Beta(alpha, beta).
Contacted stayers take the incentive as well. Where customers differ in value and cost, sums of money take the place of
shares of customers: profit stays linear in γ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc

from models_ml.errors import BayesPilotError
from models_ml.evaluation.arrays import as_numbers
from models_ml.evaluation.metrics import checked_labels


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
    challenger_values: ArrayLike,
    champion_values: ArrayLike,
    *,
    bootstraps: int,
    seed: int,
    outcome_variance: float = 0.0,
) -> float:
    """Return the share of bootstraps in which the challenger's contacts are worth more, 0 to 1.

    Plans stay fixed; customers are resampled, the same draw for both. A draw in which both are worth the same
    is no win: a pipeline is never better than itself.

    Where plans differ in few customers, perhaps none of them has churned, and a bootstrap of them would hold for
    certain that their contacts only cost money. Draws are therefore spread at least as far as chance spreads outcomes.

    Parameters
    ----------
    challenger_values, champion_values : array-like of shape (n,), money
        From `contact_values`, over the same customers in the same order.
    outcome_variance : float, money²
        Variance of the difference in worth, were outcomes drawn anew at the churn probabilities.

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

    Without four contacts that cost 1 each, of which one in 25 would have brought 50:

    >>> left_out = np.array([-1.0, -1.0, -1.0, -1.0] + [0.0] * 96)
    >>> probability_better(np.zeros(100), left_out, bootstraps=200, seed=1) > 0.95
    True
    >>> variance = 4 * 0.04 * 0.96 * 50**2
    >>> 0.5 < probability_better(np.zeros(100), left_out, bootstraps=200, seed=1, outcome_variance=variance) < 0.7
    True
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
    resampled = _resample(gain[gain != 0][:, None], len(gain), bootstraps, seed)[:, 0]
    lacking = max(outcome_variance - float(resampled.var()), 0.0)
    spread = np.random.default_rng((seed, 1)).standard_normal(bootstraps)
    return float(np.mean(resampled + math.sqrt(lacking) * spread > 0))


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


class _Hull(NamedTuple):
    """Cut-offs that are best for some γ, from nobody to everybody contacted: money per customer, all included.

    Profit at γ is γ · ``kept`` − ``spent``; both rise from cut-off to cut-off.
    """

    kept: np.ndarray
    spent: np.ndarray


def maximum_profit(
    y_true: np.ndarray,
    churn_probability: np.ndarray,
    *,
    clv: ArrayLike,
    incentive_cost: ArrayLike,
    contact_cost: ArrayLike,
    alpha: float,
    beta: float,
) -> float:
    """Return the profit per customer of the best cut-off (MPC), γ at its mean alpha / (alpha + beta).

    Verbraken, Verbeke and Baesens (2013), equation 5.

    Parameters
    ----------
    y_true : ndarray of shape (n,), bool or 0/1
        1 = churned; both values present.
    churn_probability : ndarray of shape (n,)
        Any finite score whose order ranks; equal scores are contacted together.
    clv : float or array-like of shape (n,)
        Money that a kept customer brings, one for all or that of each customer; at least 0, and above
        ``incentive_cost`` for some.
    incentive_cost, contact_cost : float or array-like of shape (n,)
        Money, at least 0, per incentive taken and per contact.
    alpha, beta : float
        Above 0; the share of contacted churners who stay is γ ~ Beta(alpha, beta).

    Returns
    -------
    float
        Money per customer, those not contacted included.

    Raises
    ------
    BayesPilotError
        If an argument is not as described.

    Examples
    --------
    >>> y = np.array([1, 0, 1, 0, 0, 1, 0, 0, 0, 1])
    >>> p = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1])
    >>> money = dict(clv=200, incentive_cost=10, contact_cost=1, alpha=6, beta=14)
    >>> round(maximum_profit(y, p, **money), 6)
    15.8
    """
    hull = _checked_hull(y_true, churn_probability, clv, incentive_cost, contact_cost, alpha, beta)
    return float(np.max(alpha / (alpha + beta) * hull.kept - hull.spent))


def expected_maximum_profit(
    y_true: np.ndarray,
    churn_probability: np.ndarray,
    *,
    clv: ArrayLike,
    incentive_cost: ArrayLike,
    contact_cost: ArrayLike,
    alpha: float,
    beta: float,
) -> float:
    """Return the profit per customer of the best cut-off (EMPC), averaged over γ.

    Each point of the ROC hull is best for an interval of γ; on it profit is linear in γ, so the average needs
    only the incomplete beta function. Verbraken, Verbeke and Baesens (2013), equation 9.

    Parameters
    ----------
    y_true : ndarray of shape (n,), bool or 0/1
        1 = churned; both values present.
    churn_probability : ndarray of shape (n,)
        Any finite score whose order ranks; equal scores are contacted together.
    clv : float or array-like of shape (n,)
        Money that a kept customer brings, one for all or that of each customer; at least 0, and above
        ``incentive_cost`` for some.
    incentive_cost, contact_cost : float or array-like of shape (n,)
        Money, at least 0, per incentive taken and per contact.
    alpha, beta : float
        Above 0; the share of contacted churners who stay is γ ~ Beta(alpha, beta).

    Returns
    -------
    float
        Money per customer, those not contacted included.

    Raises
    ------
    BayesPilotError
        If an argument is not as described.

    Examples
    --------
    >>> y = np.array([1, 0, 1, 0, 0, 1, 0, 0, 0, 1])
    >>> p = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1])
    >>> money = dict(clv=200, incentive_cost=10, contact_cost=1, alpha=6, beta=14)
    >>> round(expected_maximum_profit(y, p, **money), 6)
    15.880102
    """
    hull = _checked_hull(y_true, churn_probability, clv, incentive_cost, contact_cost, alpha, beta)
    edges = np.concatenate([[0.0], np.clip(np.diff(hull.spent) / np.diff(hull.kept), 0, 1), [1.0]])
    mass = np.diff(betainc(alpha, beta, edges))
    mean_mass = np.diff(betainc(alpha + 1, beta, edges)) * alpha / (alpha + beta)
    return float(np.sum(hull.kept * mean_mass - hull.spent * mass))


def _checked_hull(
    y_true: ArrayLike,
    score: ArrayLike,
    clv: ArrayLike,
    incentive_cost: ArrayLike,
    contact_cost: ArrayLike,
    alpha: float,
    beta: float,
) -> _Hull:
    churned, scores = checked_labels(y_true, score, both_classes=True)
    if not (as_numbers("alpha", alpha, ()) > 0 and as_numbers("beta", beta, ()) > 0):
        raise BayesPilotError(
            "alpha and beta must be above 0", values=[alpha, beta], next_step="for example alpha=6, beta=14"
        )
    rows = len(scores)
    value, incentive = _money("clv", clv, rows), _money("incentive_cost", incentive_cost, rows)
    contact = _money("contact_cost", contact_cost, rows)
    if not (value > incentive).any():
        raise BayesPilotError(
            "clv must exceed incentive_cost, or no customer is worth keeping",
            values=[f"clv at most {value.max():g}", f"incentive_cost from {incentive.min():g}"],
            next_step="give both in the same currency and unit",
        )
    return _hull(
        scores,
        np.where(churned, value - incentive, 0.0) / rows,
        (contact + np.where(churned, 0.0, incentive)) / rows,
    )


def _hull(score: np.ndarray, kept: np.ndarray, spent: np.ndarray) -> _Hull:
    """Return the cut-offs on the upper convex hull of money kept over money spent, equal scores together.

    With one value and cost for all it is that of the ROC curve, its axes scaled.
    """
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=np.nan))
    corners: list[tuple[float, float]] = [(0.0, 0.0)]
    for point in zip(np.cumsum(spent[order])[ends], np.cumsum(kept[order])[ends], strict=True):
        # A cut-off that keeps no more than an earlier one and spends at least as much is best for no γ.
        if point[1] <= corners[-1][1]:
            continue
        while len(corners) >= 2 and _turns_left(corners[-2], corners[-1], point):
            corners.pop()
        corners.append(point)
    points = np.array(corners)
    return _Hull(points[:, 1], points[:, 0])


def _turns_left(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> bool:
    ahead = (middle[0] - first[0]) * (last[1] - first[1])
    return ahead >= (middle[1] - first[1]) * (last[0] - first[0])


def _money(name: str, given: ArrayLike, rows: int) -> np.ndarray:
    """Return money per customer, shape (rows,)."""
    money = as_numbers(name, given)
    if money.shape not in ((), (rows,)):
        raise BayesPilotError(
            f"{name} has shape {money.shape}, the labels {(rows,)}",
            next_step="give one number, or one for each customer in the order of the labels",
        )
    if (money < 0).any():
        raise BayesPilotError(
            f"{name} is below 0", values=money[money < 0].tolist(), next_step="give money as positive numbers"
        )
    return np.broadcast_to(money, (rows,))
