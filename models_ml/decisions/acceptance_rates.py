"""Which share of customers like this one accepts an offer: a logistic model, fitted in :mod:`models_ml.effects`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AcceptanceModel:
    """Log-odds of accepting each of k offers, given that the customer is contacted.

    Attributes
    ----------
    offers, features : tuple of str
    log_odds : ndarray of shape (k, 1 + f)
        The intercept first, then one slope per feature.
    centre : ndarray of shape (k, f)
        Mean features of the customers contacted so far: the intercept is theirs.
    intercept_sd : ndarray of shape (k,)
    is_measured : ndarray of bool of shape (k,)
        Whether contacts outweigh the prior of the intercept.
    """

    offers: tuple[str, ...]
    features: tuple[str, ...]
    log_odds: Floats
    centre: Floats
    intercept_sd: Floats
    is_measured: NDArray[np.bool_]


def acceptance_probability(features: Floats, model: AcceptanceModel) -> Floats:
    """Return the probability (n, k) that a contacted customer accepts, from features (n, f).

    Sums run column by column, so that a customer's numbers do not depend on the batch.

    Examples
    --------
    >>> model = AcceptanceModel(("call",), ("pain",), np.array([[0.0, np.log(3)]]), np.array([[1.0]]), np.ones(1),
    ...                         np.zeros(1, bool))
    >>> acceptance_probability(np.array([[1.0], [2.0]]), model).round(6).tolist()
    [[0.5], [0.75]]
    """
    log_odds = np.empty((len(features), len(model.offers)))
    log_odds[:] = model.log_odds[:, 0]
    for column in range(len(model.features)):
        log_odds += model.log_odds[:, 1 + column] * (features[:, column, None] - model.centre[:, column])
    return np.asarray(expit(log_odds, out=log_odds))
