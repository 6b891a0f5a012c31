"""Which share of customers like this one accepts an offer: a logistic model, fitted in :mod:`models_ml.effects`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import expit, logit

from models_ml.errors import BayesPilotError

Floats = NDArray[np.float64]

CERTAIN = 750.0  # log-odds of which the logistic function is exactly 0 or 1
INTERCEPT = "intercept"


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
    sd : ndarray of shape (k, 1 + f)
        Standard deviation of each of ``log_odds``, ≥ 0.
    is_measured : ndarray of bool of shape (k,)
        Whether contacts outweigh the prior of the intercept.
    """

    offers: tuple[str, ...]
    features: tuple[str, ...]
    log_odds: Floats
    centre: Floats
    sd: Floats
    is_measured: NDArray[np.bool_]


def acceptance_probability(features: Floats, model: AcceptanceModel) -> Floats:
    """Return the probability (n, k) that a contacted customer accepts, from features (n, f).

    It is expected over what is known of the slopes, E[σ(x)] ≈ σ(m / √(1 + π s² / 8)) for x normal with mean m and
    variance s² (MacKay 1992, *Neural Computation* 4, p. 720); the intercept stands for an expected rate already. Sums
    run column by column, so that a customer's numbers do not depend on the batch.

    Examples
    --------
    >>> model = AcceptanceModel(("call",), ("pain",), np.array([[0.0, np.log(3)]]), np.array([[1.0]]),
    ...                         np.zeros((1, 2)), np.zeros(1, bool))
    >>> acceptance_probability(np.array([[1.0], [2.0]]), model).round(6).tolist()
    [[0.5], [0.75]]
    """
    log_odds = np.empty((len(features), len(model.offers)))
    variance = np.zeros_like(log_odds)
    log_odds[:] = model.log_odds[:, 0]
    for column in range(len(model.features)):
        away = features[:, column, None] - model.centre[:, column]
        log_odds += model.log_odds[:, 1 + column] * away
        variance += np.square(model.sd[:, 1 + column] * away)
    log_odds /= np.sqrt(1.0 + np.pi / 8.0 * variance)
    return np.asarray(expit(log_odds, out=log_odds))


def drawn_errors(model: AcceptanceModel, draws: int, seed: int) -> Floats:
    """Return errors (draws, k, 1 + f) of the coefficients, in opposite pairs; the intercept is that at features of 0.

    Coefficients are drawn each on its own: contacts correlate them little, since slopes are fitted about the centre.
    """
    half = np.random.default_rng(seed).standard_normal((math.ceil(draws / 2), *model.sd.shape)) * model.sd
    half[:, :, 0] -= (half[:, :, 1:] * model.centre).sum(axis=2)
    return np.concatenate([half, -half])


def log_odds_of(rate: Floats) -> Floats:
    """Return the log-odds of rates in [0, 1], finite for 0 and 1 too.

    Examples
    --------
    >>> log_odds_of(np.array([0.0, 0.5, 1.0])).tolist()
    [-750.0, 0.0, 750.0]
    """
    with np.errstate(divide="ignore"):
        return np.clip(logit(np.asarray(rate, dtype=np.float64)), -CERTAIN, CERTAIN)


def constant_acceptance(rates: Mapping[str, float]) -> AcceptanceModel:
    """Return the model in which all customers accept an offer alike, from the rate (0 to 1) of each offer."""
    offers = tuple(rates)
    log_odds = log_odds_of(np.array([rates[offer] for offer in offers]))
    none = np.empty((len(offers), 0))
    return AcceptanceModel(
        offers, (), log_odds[:, None], none, np.zeros((len(offers), 1)), np.zeros(len(offers), dtype=bool)
    )


def read_acceptance(table: pa.Table, offers: Sequence[str]) -> AcceptanceModel:
    """Read int_measured_acceptance (offer × feature), in the order of ``offers``.

    Raises
    ------
    BayesPilotError
        When an offer lacks a coefficient, or one is not a number.
    """
    rows = {(row["offer"], row["feature"]): row for row in table.to_pylist()}
    features = tuple(sorted({feature for _, feature in rows} - {INTERCEPT}))
    names = (INTERCEPT, *features)
    missing = [f"{offer}, {name}" for offer in offers for name in names if (offer, name) not in rows]
    numbers = ("log_odds", "log_odds_sd", "feature_mean")
    missing += [
        f"{offer}, {name}: {column}"
        for (offer, name), row in rows.items()
        for column in numbers
        if row[column] is None or not np.isfinite(row[column])
    ]
    if missing:
        raise BayesPilotError(
            "an acceptance coefficient is missing",
            where="int_measured_acceptance",
            values=missing,
            next_step="dbt build -s +int_measured_acceptance",
        )

    def column(name: str) -> Floats:
        values = [[rows[offer, feature][name] for feature in names] for offer in offers]
        return np.array(values, dtype=np.float64).reshape(len(offers), len(names))

    measured = [rows[offer, INTERCEPT]["acceptance_source"] == "measured" for offer in offers]
    return AcceptanceModel(
        tuple(offers),
        features,
        column("log_odds"),
        column("feature_mean")[:, 1:],
        column("log_odds_sd"),
        np.array(measured, dtype=bool),
    )
