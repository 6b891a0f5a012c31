"""The numbers behind the curves of the training page, thinned to what a drawing can show.

Arguments as in `models_ml.evaluation.metrics`: ``has_churned`` ndarray of shape (n,), bool;
``churn_probability`` ndarray of shape (n,), 0 to 1; ``weight`` ndarray of shape (n,), > 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import binom
from sklearn.metrics import precision_recall_curve, roc_curve

from models_ml.evaluation.metrics import calibration_bins

POINTS = 300  # more than a screen shows


class Curve(NamedTuple):
    """Points of a line in the order in which it is drawn."""

    x: np.ndarray
    y: np.ndarray


class Reliability(NamedTuple):
    """Quantile bins of churn probability; 95 % of the rates under perfect calibration lie from ``low`` to ``high``."""

    mean_probability: np.ndarray
    churn_rate: np.ndarray
    customers: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def outside(self) -> np.ndarray:
        """Which bins lie outside the range, bool; under perfect calibration one in twenty does."""
        return (self.churn_rate < self.low) | (self.churn_rate > self.high)


def roc_points(has_churned: np.ndarray, churn_probability: np.ndarray, weight: np.ndarray) -> Curve:
    """Return the ROC curve: the share of non-churners contacted against the share of churners found."""
    false_rate, true_rate, _ = roc_curve(has_churned, churn_probability, sample_weight=weight)
    return thin(Curve(false_rate, true_rate))


def precision_recall_points(
    has_churned: np.ndarray, churn_probability: np.ndarray, weight: np.ndarray
) -> Curve:
    """Return recall against precision, from the riskiest customer alone to all customers."""
    precision, recall, _ = precision_recall_curve(has_churned, churn_probability, sample_weight=weight)
    return thin(Curve(recall[::-1], precision[::-1]))


def profit_points(
    churn_probability: np.ndarray, weight: np.ndarray, value: np.ndarray, points: int = POINTS
) -> Curve:
    """Return the share contacted, riskiest first, against the total value of these contacts.

    Parameters
    ----------
    value : ndarray of shape (n,), money
        Value of contacting each row, unweighted. Equal probabilities are contacted together.

    Examples
    --------
    >>> curve = profit_points(np.array([0.9, 0.5, 0.5, 0.1]), np.ones(4), np.array([8.0, 3.0, -1.0, -4.0]))
    >>> curve.x.tolist(), curve.y.tolist()
    ([0.0, 0.25, 0.75, 1.0], [0.0, 8.0, 10.0, 6.0])
    """
    order = np.argsort(-churn_probability, kind="stable")
    ends = np.append(np.diff(churn_probability[order]) != 0, True)
    contacted = np.cumsum(weight[order])[ends] / weight.sum()
    worth = np.cumsum((weight * value)[order])[ends]
    return thin(Curve(np.append(0.0, contacted), np.append(0.0, worth)), points)


def reliability(
    has_churned: np.ndarray, churn_probability: np.ndarray, weight: np.ndarray, bins: int
) -> Reliability:
    """Return predicted and observed churn per bin, with the range of chance of a bin of that size.

    The range is the binomial one at the bin's mean probability (Bröcker and Smith 2007, consistency bars),
    with the effective number of rows (Σw)² / Σw² where weights differ.

    Examples
    --------
    >>> churned, probability = np.arange(200) % 10 == 0, np.full(200, 0.1)
    >>> found = reliability(churned, probability, np.ones(200), bins=5)
    >>> found.customers.tolist(), found.churn_rate.tolist(), found.outside.tolist()
    ([200], [0.1], [False])
    >>> found.low.tolist(), found.high.tolist()
    ([0.06], [0.145])
    """
    grouped = calibration_bins(has_churned, churn_probability, bins, weight)
    counted = calibration_bins(has_churned, churn_probability, bins)
    squared = calibration_bins(has_churned, churn_probability, bins, weight**2)
    customers = np.round(counted.share * len(weight)).astype(int)
    effective = np.round((grouped.share * weight.sum()) ** 2 / (squared.share * (weight**2).sum()))
    low, high = (binom.ppf(q, effective, grouped.mean_probability) / effective for q in (0.025, 0.975))
    return Reliability(grouped.mean_probability, grouped.churn_rate, customers, low, high)


def readable_bins(churners: int) -> int:
    """Return how many bins leave about ten churners in each: 5 to 20.

    Examples
    --------
    >>> readable_bins(30), readable_bins(120), readable_bins(5000)
    (5, 12, 20)
    """
    return int(np.clip(churners // 10, 5, 20))


def thin(curve: Curve, points: int = POINTS) -> Curve:
    """Keep about ``points`` points, evenly spaced along the line, either axis scaled to its range.

    Examples
    --------
    >>> thin(Curve(np.linspace(0, 1, 1001), np.zeros(1001)), points=3).x.tolist()
    [0.0, 0.5, 1.0]
    """
    if len(curve.x) <= points:
        return curve
    steps = sum(np.abs(np.diff(axis)) / (float(np.ptp(axis)) or 1.0) for axis in curve)
    gone = np.concatenate([[0.0], np.cumsum(steps)])
    kept = np.unique(np.searchsorted(gone, np.linspace(0, gone[-1], points) * (1 - 1e-12)))
    kept = np.unique(np.append(kept, len(curve.x) - 1))
    return Curve(curve.x[kept], curve.y[kept])
