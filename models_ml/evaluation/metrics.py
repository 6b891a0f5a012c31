"""Ranking and calibration of churn probabilities, with example weights throughout.

Arguments of every function: ``has_churned`` ndarray of shape (n,), bool or 0/1; ``churn_probability`` ndarray
of shape (n,), 0 to 1; ``weight`` ndarray of shape (n,), > 0, or None for equal weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from models_ml.errors import BayesPilotError
from models_ml.evaluation.arrays import as_numbers

Weight = np.ndarray | None


class Bins(NamedTuple):
    """Weighted means per quantile bin of churn probability; ``share`` sums to 1.

    ``rows`` counts rows, ``effective_rows`` by how many of equal weight a mean is as uncertain: (Σw)² / Σw² (Kish).
    """

    share: np.ndarray
    mean_probability: np.ndarray
    churn_rate: np.ndarray
    rows: np.ndarray
    effective_rows: np.ndarray


class BrierParts(NamedTuple):
    """Brier score = reliability - resolution + uncertainty + within_bins.

    Murphy (1973), "A new vector partition of the probability score", Journal of Applied Meteorology 12;
    ``within_bins`` is what is left because a bin holds several probabilities (Stephenson, Coelho and Jolliffe
    2008, "Two extra components in the Brier score decomposition", Weather and Forecasting 23).
    """

    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float


def checked_labels(
    labels: ArrayLike, score: ArrayLike, *, both_classes: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as bool and scores as float64, both of shape (n,).

    Raises
    ------
    BayesPilotError
        If they are empty or of different shapes, a label is not 0 or 1, a score is not finite or, where both
        classes are needed, one is missing.
    """
    outcome, scores = np.asarray(labels), as_numbers("the score", score)
    if outcome.ndim != 1 or outcome.shape != scores.shape or not len(outcome):
        raise BayesPilotError(
            "labels and scores are not two columns of the same rows", values=[outcome.shape, scores.shape]
        )
    wrong = ~np.isin(outcome, (0, 1))
    if wrong.any():
        raise BayesPilotError("a label is neither 0 nor 1", values=outcome[wrong].tolist())
    churned = outcome.astype(bool)
    if both_classes and churned.all() == churned.any():
        raise BayesPilotError(
            "both classes are needed", values=[f"{len(churned)} labels, all {int(churned[0])}"]
        )
    return churned, scores


def checked_probabilities(
    labels: ArrayLike, probability: ArrayLike, weight: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels (bool), probabilities and weights (1 where None), all of shape (n,).

    Raises
    ------
    BayesPilotError
        As `checked_labels`, or if a probability lies outside [0, 1] or a weight is not a finite number above 0.
    """
    churned, scores = checked_labels(labels, probability, both_classes=False)
    outside = (scores < 0) | (scores > 1)
    if outside.any():
        raise BayesPilotError("a probability lies outside [0, 1]", values=scores[outside].tolist())
    weights = np.ones(len(scores)) if weight is None else as_numbers("the weight", weight)
    if weights.shape != scores.shape:
        raise BayesPilotError("weights are not of the same rows", values=[weights.shape, scores.shape])
    if (weights <= 0).any():
        raise BayesPilotError("a weight is not above 0", values=weights[weights <= 0].tolist())
    return churned, scores, weights


def calibration_bins(
    has_churned: np.ndarray, churn_probability: np.ndarray, bins: int, weight: Weight = None
) -> Bins:
    """Group rows into bins of equal weight by churn probability.

    Equal probabilities share a bin, empty bins are left out.

    Raises
    ------
    BayesPilotError
        If rows, labels, probabilities or weights are not as the module says, or there is no bin.

    Examples
    --------
    >>> calibration_bins(np.array([0, 1, 1, 1]), np.array([0.1, 0.3, 0.6, 0.8]), bins=2).churn_rate
    array([0.5, 1. ])
    """
    if bins < 1:
        raise BayesPilotError("there must be at least one bin", values=[bins])
    has_churned, churn_probability, weight = checked_probabilities(has_churned, churn_probability, weight)
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    edges = np.quantile(churn_probability, inner, weights=weight, method="inverted_cdf")
    position = np.searchsorted(edges, churn_probability, side="left")
    rows = np.bincount(position, minlength=bins)
    held = rows > 0
    total, squares, predicted, churned = (
        np.bincount(position, summed, bins)[held]
        for summed in (weight, weight**2, weight * churn_probability, weight * has_churned)
    )
    return Bins(total / total.sum(), predicted / total, churned / total, rows[held], total**2 / squares)


def expected_calibration_error(
    has_churned: np.ndarray, churn_probability: np.ndarray, *, bins: int, weight: Weight = None
) -> float:
    """Return the mean gap between probability and churn rate over quantile bins.

    Σ_b share_b · |mean probability_b − churn rate_b|: Naeini, Cooper and Hauskrecht (2015), "Obtaining well
    calibrated probabilities using Bayesian binning", AAAI, with bins of equal weight.

    Parameters
    ----------
    has_churned : ndarray of shape (n,), bool or 0/1
    churn_probability : ndarray of shape (n,), 0 to 1
    bins : int, at least 1
        Bins of equal weight; 20 in the training stage.
    weight : ndarray of shape (n,), > 0, optional
        Customers that each row represents; 1 by default.

    Returns
    -------
    float
        0 (perfect) to 1.

    Raises
    ------
    BayesPilotError
        If an argument is not as described.

    Examples
    --------
    >>> round(expected_calibration_error(np.array([0, 1, 1, 1]), np.array([0.1, 0.3, 0.6, 0.8]), bins=2), 3)
    0.3
    """
    grouped = calibration_bins(has_churned, churn_probability, bins, weight)
    return float(np.sum(grouped.share * np.abs(grouped.mean_probability - grouped.churn_rate)))


def brier_decomposition(
    has_churned: np.ndarray, churn_probability: np.ndarray, *, bins: int, weight: Weight = None
) -> BrierParts:
    """Split the Brier score into `BrierParts`, which add up to it.

    Parameters
    ----------
    has_churned : ndarray of shape (n,), bool or 0/1
    churn_probability : ndarray of shape (n,), 0 to 1
    bins : int, at least 1
        Bins of equal weight.
    weight : ndarray of shape (n,), > 0, optional
        Customers that each row represents; 1 by default.

    Returns
    -------
    BrierParts
        reliability − resolution + uncertainty + within_bins is the mean of (p − y)².

    Raises
    ------
    BayesPilotError
        If an argument is not as described.

    Examples
    --------
    >>> parts = brier_decomposition(np.array([0, 1, 1, 1]), np.array([0.1, 0.3, 0.6, 0.8]), bins=2)
    >>> round(parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins, 3)
    0.175
    """
    grouped = calibration_bins(has_churned, churn_probability, bins, weight)
    base = float(np.sum(grouped.share * grouped.churn_rate))
    reliability = float(np.sum(grouped.share * (grouped.mean_probability - grouped.churn_rate) ** 2))
    resolution = float(np.sum(grouped.share * (grouped.churn_rate - base) ** 2))
    uncertainty = base * (1 - base)
    brier = float(np.average((churn_probability - has_churned) ** 2, weights=weight))
    return BrierParts(reliability, resolution, uncertainty, brier - (reliability - resolution + uncertainty))


def calibration_ratio(
    has_churned: np.ndarray, churn_probability: np.ndarray, *, weight: Weight = None
) -> float:
    """Return mean churn probability over observed churn rate; 1 is perfect, above 1 predicts too much churn.

    Examples
    --------
    >>> calibration_ratio(np.array([0, 1]), np.array([0.2, 0.4]))
    0.6
    """
    expected = np.average(churn_probability, weights=weight)
    observed = np.average(has_churned.astype(float), weights=weight)
    return float(np.round(expected / observed, 12))


def lift(
    has_churned: np.ndarray, churn_probability: np.ndarray, *, share: float, weight: Weight = None
) -> float:
    """Return the churn rate among the riskiest ``share`` of the weight over the churn rate of all.

    Of rows with equal probabilities, each counts in the part that is still needed.

    Examples
    --------
    >>> lift(np.array([0, 0, 0, 1]), np.array([0.1, 0.2, 0.3, 0.9]), share=0.25)
    4.0
    >>> lift(np.array([0, 0, 0, 1]), np.full(4, 0.25), share=0.25)
    1.0

    The riskiest half of the weight is one customer here, who stands for three:

    >>> lift(np.array([0, 0, 1, 0]), np.array([0.1, 0.2, 0.3, 0.9]), share=0.5, weight=np.array([1.0, 1.0, 1.0, 3.0]))
    0.0
    """
    weight = np.ones(len(churn_probability)) if weight is None else weight
    _, position = np.unique(-churn_probability, return_inverse=True)
    held = np.bincount(position, weight)
    churned = np.bincount(position, weight * has_churned)
    wanted = share * held.sum() - (np.cumsum(held) - held)
    taken = np.clip(wanted / held, 0.0, 1.0)  # of equal probabilities none comes first
    among = (taken * churned).sum() / (taken * held).sum()
    return float(among / (churned.sum() / held.sum()))


def row_log_loss(has_churned: np.ndarray, churn_probability: np.ndarray) -> np.ndarray:
    """Return the log-loss of each row, shape (n,); probabilities strictly between 0 and 1.

    Examples
    --------
    >>> row_log_loss(np.array([1, 0]), np.array([0.5, 0.1])).round(6)
    array([0.693147, 0.105361])
    """
    return -np.log(np.where(has_churned, churn_probability, 1 - churn_probability))


def score_metrics(
    has_churned: np.ndarray,
    churn_probability: np.ndarray,
    *,
    weight: np.ndarray,
    bins: int,
    lift_share: float,
) -> dict[str, float]:
    """Return every ranking and calibration metric by name; both classes must be present."""
    from sklearn import metrics  # takes a second to import, which runs that only decide need not wait for

    parts = brier_decomposition(has_churned, churn_probability, bins=bins, weight=weight)
    observed = has_churned.astype(float)
    given = {"sample_weight": weight}
    return {
        "auc": float(metrics.roc_auc_score(has_churned, churn_probability, **given)),
        "average_precision": float(metrics.average_precision_score(has_churned, churn_probability, **given)),
        "brier": float(metrics.brier_score_loss(has_churned, churn_probability, **given)),
        "brier_reliability": parts.reliability,
        "brier_resolution": parts.resolution,
        "brier_uncertainty": parts.uncertainty,
        "brier_within_bins": parts.within_bins,
        "mean_predicted": float(np.average(churn_probability, weights=weight)),
        "mean_observed": float(np.average(observed, weights=weight)),
        "log_loss": float(metrics.log_loss(has_churned, churn_probability, **given)),
        "calibration_error": expected_calibration_error(
            has_churned, churn_probability, bins=bins, weight=weight
        ),
        "calibration_ratio": calibration_ratio(has_churned, churn_probability, weight=weight),
        "lift": lift(has_churned, churn_probability, share=lift_share, weight=weight),
    }


def notice_metrics(
    has_churned: np.ndarray,
    churn_probability: np.ndarray,
    *,
    has_given_notice: np.ndarray | None,
    weight: np.ndarray,
) -> dict[str, float]:
    """Return how much of the churn was announced, and the ranking among customers who had not given notice.

    Customers who have given notice leave as announced, which takes no skill to predict and raises the AUC of all.

    Parameters
    ----------
    has_churned : ndarray of shape (n,), bool
    churn_probability : ndarray of shape (n,), 0 to 1
    has_given_notice : ndarray of shape (n,), bool, or None where notices are not known
    weight : ndarray of shape (n,), > 0

    Returns
    -------
    dict
        ``announced_churn_share``, 0 to 1, and ``auc_without_notice``; without the former where notices are not known
        or nobody churned, without the latter also where all of the others churned, or none.

    Examples
    --------
    >>> churned, probability = np.array([True, True, False, False]), np.array([0.9, 0.2, 0.3, 0.1])
    >>> notice = np.array([True, False, False, False])
    >>> notice_metrics(churned, probability, has_given_notice=notice, weight=np.ones(4))
    {'announced_churn_share': 0.5, 'auc_without_notice': 0.5}
    """
    if has_given_notice is None or not has_churned.any():
        return {}
    churn, rest = weight * has_churned, ~has_given_notice
    found = {"announced_churn_share": float(churn[has_given_notice].sum() / churn.sum())}
    if len(np.unique(has_churned[rest])) == 2:
        from sklearn.metrics import roc_auc_score

        ranking = roc_auc_score(has_churned[rest], churn_probability[rest], sample_weight=weight[rest])
        found["auc_without_notice"] = float(ranking)
    return found


def threshold_evaluation(
    has_churned: np.ndarray,
    churn_probability: np.ndarray,
    thresholds: Sequence[float],
    *,
    weight: np.ndarray | None = None,
    value_if_contacted: np.ndarray | None = None,
) -> list[dict[str, float]]:
    """Evaluate cut-offs: the customers at or above each, with precision and recall.

    Parameters
    ----------
    has_churned : ndarray of shape (n,), bool or 0/1
    churn_probability : ndarray of shape (n,), 0 to 1
    thresholds : cut-offs, 0 to 1
    weight : ndarray of shape (n,), > 0, optional
    value_if_contacted : ndarray of shape (n,), optional
        Money that contacting each row returns; adds ``profit``, its weighted sum above the cut-off.

    Returns
    -------
    list of dict
        ``threshold``, ``contacted_share``, ``precision`` (0 where the share is 0), ``recall`` and, where
        asked for, ``profit``.

    Examples
    --------
    >>> threshold_evaluation(np.array([0, 1, 1]), np.array([0.2, 0.5, 0.9]), [0.9])
    [{'threshold': 0.9, 'contacted_share': 0.333333333, 'precision': 1.0, 'recall': 0.5}]
    """
    weight = np.ones(len(churn_probability)) if weight is None else weight
    churned = weight * has_churned
    rows = []
    for threshold in thresholds:
        above = churn_probability >= threshold
        reached, found = float(weight[above].sum()), float(churned[above].sum())
        row = {
            "threshold": float(threshold),
            "contacted_share": round(reached / float(weight.sum()), 9),
            "precision": round(found / reached, 9) if reached else 0.0,
            "recall": round(found / float(churned.sum()), 9),
        }
        if value_if_contacted is not None:
            row["profit"] = round(float((weight * value_if_contacted)[above].sum()), 2)
        rows.append(row)
    return rows
