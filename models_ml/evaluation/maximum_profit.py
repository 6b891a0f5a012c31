"""Maximum profit measures of a churn ranking.

Source: Verbraken, Verbeke and Baesens (2013), "A novel profit maximizing metric for measuring classification
performance of customer churn prediction models", IEEE TKDE 25(5), equations 5 and 9. A share γ of the
contacted customers who would churn accepts and stays; γ ~ Beta(alpha, beta). Contacted stayers take the
incentive as well. These measures compare rankings across studies; candidates are selected by judged profit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import betainc
from sklearn.metrics import roc_curve

from models_ml.errors import BayesPilotError
from models_ml.evaluation.metrics import checked_labels


class _Curve(NamedTuple):
    """Points of the ROC curve's upper hull as shares of all customers reached."""

    churners: np.ndarray
    stayers: np.ndarray


def maximum_profit(
    y_true: np.ndarray,
    churn_probability: np.ndarray,
    *,
    clv: float,
    incentive_cost: float,
    contact_cost: float,
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
    clv : float
        Money that a kept customer brings; above ``incentive_cost``.
    incentive_cost, contact_cost : float
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
    _check(clv, incentive_cost, contact_cost, alpha, beta)
    hull = _hull(*checked_labels(y_true, churn_probability, both_classes=True))
    accepted = alpha / (alpha + beta)
    gain = (accepted * (clv - incentive_cost) - contact_cost) * hull.churners
    return float(np.max(gain - (incentive_cost + contact_cost) * hull.stayers))


def expected_maximum_profit(
    y_true: np.ndarray,
    churn_probability: np.ndarray,
    *,
    clv: float,
    incentive_cost: float,
    contact_cost: float,
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
    clv : float
        Money that a kept customer brings; above ``incentive_cost``.
    incentive_cost, contact_cost : float
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
    _check(clv, incentive_cost, contact_cost, alpha, beta)
    hull = _hull(*checked_labels(y_true, churn_probability, both_classes=True))
    more_churners, more_stayers = np.diff(hull.churners), np.diff(hull.stayers)
    with np.errstate(divide="ignore"):
        odds = np.where(more_churners > 0, more_stayers / more_churners, np.inf)
    starts = (contact_cost + (incentive_cost + contact_cost) * odds) / (clv - incentive_cost)
    edges = np.concatenate([[0.0], np.clip(starts, 0, 1), [1.0]])
    mass = np.diff(betainc(alpha, beta, edges))
    mean_mass = np.diff(betainc(alpha + 1, beta, edges)) * alpha / (alpha + beta)
    gain = (clv - incentive_cost) * hull.churners * mean_mass
    cost = contact_cost * hull.churners + (incentive_cost + contact_cost) * hull.stayers
    return float(np.sum(gain - cost * mass))


def _hull(y_true: np.ndarray, score: np.ndarray) -> _Curve:
    """Return the upper convex hull of the ROC curve, from nobody to everybody contacted."""
    false_rate, true_rate, _ = roc_curve(y_true, score)
    kept: list[tuple[float, float]] = []
    for point in zip(false_rate.tolist(), true_rate.tolist(), strict=True):
        while len(kept) >= 2 and _turns_left(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    corners = np.array(kept)
    churn_rate = float(np.mean(y_true))
    return _Curve(corners[:, 1] * churn_rate, corners[:, 0] * (1 - churn_rate))


def _turns_left(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> bool:
    ahead = (middle[0] - first[0]) * (last[1] - first[1])
    return ahead >= (middle[1] - first[1]) * (last[0] - first[0])


def _check(clv: float, incentive_cost: float, contact_cost: float, alpha: float, beta: float) -> None:
    if not 0 <= incentive_cost < clv < np.inf:
        raise BayesPilotError(
            "clv must exceed incentive_cost, and that must be at least 0", values=[clv, incentive_cost]
        )
    if not 0 <= contact_cost < np.inf:
        raise BayesPilotError("contact_cost must be at least 0", values=[contact_cost])
    if not (0 < alpha < np.inf and 0 < beta < np.inf):
        raise BayesPilotError("alpha and beta must be above 0", values=[alpha, beta])
