"""Maximum profit measures of a churn ranking.

Source: Verbraken, Verbeke and Baesens (2013), "A novel profit maximizing metric for measuring classification
performance of customer churn prediction models", IEEE TKDE 25(5), equations 5 and 9. A share γ of the
contacted customers who would churn accepts and stays; γ ~ Beta(alpha, beta). Contacted stayers take the
incentive as well. Where customers differ in value and cost, sums of money take the place of shares of customers:
profit stays linear in γ. These measures compare rankings across studies; candidates are selected by judged profit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc

from models_ml.errors import BayesPilotError
from models_ml.evaluation.arrays import as_numbers
from models_ml.evaluation.metrics import checked_labels


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
        while len(corners) >= 2 and _turns_left(corners[-2], corners[-1], point):
            corners.pop()
        # A cut-off that keeps no more than an earlier one and spends as much is best for no γ.
        if point[1] > corners[-1][1]:
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
