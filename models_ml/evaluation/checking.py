"""What every public measure asks of its arguments: the same words for the same fault."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from models_ml.errors import BayesPilotError


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
    outcome, scores = np.asarray(labels), np.asarray(score, dtype=np.float64)
    if outcome.ndim != 1 or outcome.shape != scores.shape or not len(outcome):
        raise BayesPilotError(
            "labels and scores are not two columns of the same rows", values=[outcome.shape, scores.shape]
        )
    wrong = ~np.isin(outcome, (0, 1))
    if wrong.any():
        raise BayesPilotError("a label is neither 0 nor 1", values=outcome[wrong].tolist())
    if not np.isfinite(scores).all():
        raise BayesPilotError("a score is not a finite number", values=scores[~np.isfinite(scores)].tolist())
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
    weights = np.ones(len(scores)) if weight is None else np.asarray(weight, dtype=np.float64)
    if weights.shape != scores.shape:
        raise BayesPilotError("weights are not of the same rows", values=[weights.shape, scores.shape])
    wrong = ~((weights > 0) & (weights < np.inf))
    if wrong.any():
        raise BayesPilotError("a weight is not a finite number above 0", values=weights[wrong].tolist())
    return churned, scores, weights
