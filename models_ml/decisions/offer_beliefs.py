r"""What is believed of the offers: their effects, the expected relative risk under them, and who accepts them.

**Effects.** With z = (1, signals) of a customer and b_o the log-odds effects of offer o, normal with mean b̂_o and
covariance Σ_o, the effect b_o·z is normal with mean m = b̂_o·z and variance s² = zᵀ Σ_o z. The expected churn
probability under the offer is then an integral over one normal variable, which seven Gauss–Hermite nodes x_j with
weights w_j give to a ten-thousandth of it while s ≤ 1 (Abramowitz & Stegun 1964, *Handbook of Mathematical Functions*,
25.4.46):

    E[p_o] = Σ_j w_j · σ(logit p_0 + m + s·x_j)

Written as a relative risk, ρ = E[p_o] / p_0 = Σ_j w_j / (p_0 + (1 − p_0)·e^(−m − s·x_j)), it stays finite and exact at
p_0 = 0 and p_0 = 1.

**Acceptance.** Which share of customers like this one accepts an offer is a logistic model, fitted in
:mod:`models_ml.effects`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import expit, logit

from models_ml.errors import BayesPilotError

Floats = NDArray[np.float64]

NODES = 7
BATCH_ROWS = 16_384  # what is needed of a batch stays in the processor's cache
LARGEST_LOG_ODDS = 300.0  # exp() of it, and its square, are still finite
INTERCEPT = "intercept"
SEED = "seeds/<source>/offer_effect_priors.csv"

CERTAIN = 750.0  # log-odds of which the logistic function is exactly 0 or 1


@dataclass(frozen=True)
class EffectBeliefs:
    """Normal beliefs about the effects of k offers over s signals, log-odds of churn.

    Attributes
    ----------
    offers, signals : tuple of str
    mean : ndarray of shape (k, 1 + s)
        The intercept first, then ``signals`` in order.
    covariance : ndarray of shape (k·(1 + s), k·(1 + s))
        Of ``mean`` read row by row.
    is_measured : ndarray of bool of shape (k, 1 + s)
        Whether the offer's own evidence outweighs the prior.
    """

    offers: tuple[str, ...]
    signals: tuple[str, ...]
    mean: Floats
    covariance: Floats
    is_measured: NDArray[np.bool_]

    def covariance_of(self, offer: int) -> Floats:
        """Return the covariance of one offer's coefficients, shape (1 + s, 1 + s)."""
        width = self.mean.shape[1]
        rows = slice(offer * width, (offer + 1) * width)
        return self.covariance[rows, rows]


@cache
def standard_normal_nodes(count: int) -> tuple[Floats, Floats]:
    """Return the Gauss–Hermite nodes and weights for the expectation over a standard normal variable.

    Examples
    --------
    >>> nodes, weights = standard_normal_nodes(7)
    >>> [float((weights * nodes**power).sum().round(12)) for power in (0, 2, 4, 6)]
    [1.0, 1.0, 3.0, 15.0]
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    found = np.asarray(nodes), np.asarray(weights / weights.sum())
    for array in found:
        array.setflags(write=False)  # every caller gets the same arrays
    return found


def effect_moments(signals: Floats, beliefs: EffectBeliefs) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of b_o·z, each of shape (n, k).

    Sums run column by column, so that a customer's numbers do not depend on the batch.

    Parameters
    ----------
    signals : ndarray of shape (n, s)
        Finite, in the order of ``beliefs.signals``.
    beliefs : EffectBeliefs

    Examples
    --------
    >>> beliefs = EffectBeliefs(("a",), ("x",), np.array([[-0.1, 0.3]]), np.array([[0.04, 0.01], [0.01, 0.09]]),
    ...                         np.zeros((1, 2), bool))
    >>> mean, sd = effect_moments(np.array([[0.0], [2.0]]), beliefs)
    >>> mean.ravel().round(6).tolist(), np.square(sd).ravel().round(6).tolist()
    ([-0.1, 0.5], [0.04, 0.44])
    """
    offers, width = beliefs.mean.shape
    columns = np.asfortranarray(signals)
    mean, variance = np.empty((offers, len(columns))), np.empty((offers, len(columns)))
    blocks = np.stack([beliefs.covariance_of(offer) for offer in range(offers)])
    mean[:], variance[:] = beliefs.mean[:, :1], blocks[:, 0, :1]
    for a in range(width):
        for b in range(max(a, 1), width):
            product = columns[:, b - 1] if a == 0 else columns[:, a - 1] * columns[:, b - 1]
            if a == 0:
                mean += beliefs.mean[:, b, None] * product
            variance += (blocks[:, a, b, None] * (1.0 if a == b else 2.0)) * product
    return mean.T, np.sqrt(np.maximum(variance, 0.0)).T


def expected_relative_risk(churn_probability: Floats, signals: Floats, beliefs: EffectBeliefs) -> Floats:
    """Return ρ = E[p_o] / p_0 of each customer under each offer, shape (n, k); above 1 the offer harms.

    Parameters
    ----------
    churn_probability : ndarray of shape (n,)
        p_0 in [0, 1], if left alone.
    signals : ndarray of shape (n, s)
        Finite, about 0–2 each, in the order of ``beliefs.signals``.
    beliefs : EffectBeliefs

    Examples
    --------
    An effect that is known halves or doubles the odds; one that is not known at all (sd 1) moves risk towards a half:

    >>> known = EffectBeliefs(("a", "b"), (), np.log([[0.5], [2.0]]), np.zeros((2, 2)), np.zeros((2, 1), bool))
    >>> expected_relative_risk(np.array([0.5, 0.0, 1.0]), np.empty((3, 0)), known).round(6).tolist()
    [[0.666667, 1.333333], [0.5, 2.0], [1.0, 1.0]]
    >>> unknown = EffectBeliefs(("a",), (), np.zeros((1, 1)), np.ones((1, 1)), np.zeros((1, 1), bool))
    >>> expected_relative_risk(np.array([0.1, 0.5]), np.empty((2, 0)), unknown).round(3).ravel().tolist()
    [1.339, 1.0]
    """
    return relative_risk_and_sd(churn_probability, signals, beliefs)[0]


def relative_risk_and_sd(
    churn_probability: Floats, signals: Floats, beliefs: EffectBeliefs
) -> tuple[Floats, Floats]:
    """Return ρ as `expected_relative_risk` does, and the standard deviation of b_o·z, each of shape (n, k)."""
    risk = np.empty((len(churn_probability), len(beliefs.offers)))
    spread = np.empty_like(risk)
    for start in range(0, len(risk), BATCH_ROWS):
        rows = slice(start, start + BATCH_ROWS)
        mean, sd = effect_moments(signals[rows], beliefs)
        risk[rows] = _relative_risk(churn_probability[rows], mean.T, sd.T).T
        spread[rows] = sd
    return risk, spread


def _relative_risk(alone: Floats, mean: Floats, sd: Floats) -> Floats:
    """Return ρ (k, n) from effects of shape (k, n); each pair of opposite nodes shares one exponential."""
    nodes, weights = standard_normal_nodes(NODES)
    middle = NODES // 2
    stays = (1.0 - alone) * np.exp(-np.clip(mean, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS))
    risk = weights[middle] / (alone + stays)
    for node, weight in zip(nodes[middle + 1 :], weights[middle + 1 :], strict=True):
        away = np.exp(np.minimum(sd * node, LARGEST_LOG_ODDS))
        risk += weight / (alone + stays / away)
        risk += weight / (alone + stays * away)
    return np.asarray(risk)


def read_beliefs(
    effects: pa.Table, covariances: pa.Table, offers: Sequence[str], correlation: float
) -> EffectBeliefs:
    """Read offer_effects (offer, signal, …) and offer_effect_covariances into beliefs, in the order of ``offers``.

    Signals are ordered by name; a signal that an offer does not list has effect 0 for certain, a missing intercept is
    an error (it would silently assume that the offer does nothing). A pair without a covariance has that of the prior:
    ``correlation`` times both sds between two offers on one signal, else 0.

    Raises
    ------
    BayesPilotError
        When an offer is unknown or has no intercept, a pair occurs twice, or a number is missing.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for row in effects.to_pylist():
        key = row["offer"], row["signal"]
        _check_effect(key, row, offers, is_new=key not in rows)
        rows[key] = row
    missing = [offer for offer in offers if (offer, INTERCEPT) not in rows]
    if missing:
        raise _refused(f"offer {missing[0]}, signal {INTERCEPT}: the row is missing")
    signals = tuple(sorted({signal for _, signal in rows} - {INTERCEPT}))
    keys = [(offer, signal) for offer in offers for signal in (INTERCEPT, *signals)]
    shape = len(offers), 1 + len(signals)
    mean, sd = (
        np.array([rows[key][name] if key in rows else 0.0 for key in keys])
        for name in ("effect_mean", "effect_sd")
    )
    measured = [key in rows and rows[key]["effect_source"] == "measured" for key in keys]
    return EffectBeliefs(
        tuple(offers),
        signals,
        mean.reshape(shape),
        _covariance(covariances, keys, sd, correlation),
        np.array(measured).reshape(shape),
    )


def _check_effect(
    key: tuple[str, str], row: Mapping[str, Any], offers: Sequence[str], *, is_new: bool
) -> None:
    place = f"offer {key[0]}, signal {key[1]}"
    if key[0] not in offers:
        raise _refused(f"{place}: the offer is not in offers.csv")
    if not is_new:
        raise _refused(f"{place}: the pair occurs twice")
    for name in ("effect_mean", "effect_sd"):
        if row[name] is None or not math.isfinite(row[name]):
            raise _refused(f"{place}: {name} {row[name]} is not a finite number")


def _covariance(table: pa.Table, keys: list[tuple[str, str]], sd: Floats, correlation: float) -> Floats:
    """Return the covariance of ``keys`` (offer, signal), shape (k, k); that of the prior where the table has none."""
    between = np.array([[a[1] == b[1] for b in keys] for a in keys]) * correlation
    np.fill_diagonal(between, 1.0)
    covariance = np.asarray(between * np.outer(sd, sd), dtype=np.float64)
    position = {key: at for at, key in enumerate(keys)}
    for row in table.to_pylist():
        at = (
            position.get((row["offer"], row["signal"])),
            position.get((row["other_offer"], row["other_signal"])),
        )
        if None not in at:
            covariance[at] = row["covariance"]
    if not np.isfinite(covariance).all():
        raise _refused("a covariance of two effects is not a finite number")
    return covariance


def _refused(what: str) -> BayesPilotError:
    return BayesPilotError(f"{SEED}, {what}", next_step="correct the row, then run dbt build")


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
