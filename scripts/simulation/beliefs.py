"""Believed effects of the offers, compared with the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from models_ml.decisions.effect_beliefs import EffectBeliefs, expected_relative_risk
from simulation.true_value import Floats, MonthInputs, Truth

DRAWS = 200
INTERVAL = (0.05, 0.95)
SAMPLE = 500  # customers for the interval; its width hardly depends on the sample
INTERCEPT = "intercept"


@dataclass(frozen=True)
class RiskBelief:
    """Average relative risk under an offer: believed, with a 90 % interval, and true."""

    offer: str
    believed: float
    low: float
    high: float
    true: float


@dataclass(frozen=True)
class Coefficient:
    """One coefficient of offer_effects, and the estimate that unlimited randomised data would give."""

    offer: str
    signal: str
    mean: float
    sd: float
    source: str
    target: float


def risk_beliefs(inputs: MonthInputs) -> list[RiskBelief]:
    """Compare the average relative risk of each offer, believed and true.

    Averages are over the customers who may get the offer, weighted by their true churn probability if left
    alone: Σ p_a / Σ p_0. Both use the true p_0, so that only beliefs about effects differ.
    The interval draws coefficients from their joint posterior.
    """
    of, risk_alone = inputs.decision.effects, inputs.truth.churn_alone
    believed = expected_relative_risk(risk_alone, inputs.signals, of)
    found = []
    for position, offer in enumerate(inputs.decision.offers):
        may = np.flatnonzero(inputs.customers.allowed[:, position])
        if not len(may):
            continue
        weight = risk_alone[may]
        low, high = _interval(inputs, position, may[:: max(1, len(may) // SAMPLE)])
        found.append(
            RiskBelief(
                offer.offer,
                float(weight @ believed[may, position] / weight.sum()),
                low,
                high,
                float(inputs.truth.churn[may, position].sum() / weight.sum()),
            )
        )
    return found


def _interval(inputs: MonthInputs, position: int, at: np.ndarray) -> tuple[float, float]:
    """Quantiles of the average relative risk over coefficients drawn from their joint posterior."""
    of = inputs.decision.effects
    values, vectors = np.linalg.eigh(of.covariance_of(position))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    rng = np.random.default_rng(position)
    drawn = of.mean[position] + rng.standard_normal((DRAWS, len(root))) @ root.T
    known = np.zeros((drawn.size, drawn.size))
    names = tuple(str(draw) for draw in range(DRAWS))
    many = EffectBeliefs(names, of.signals, drawn, known, np.zeros(drawn.shape, dtype=bool))
    weight = inputs.truth.churn_alone[at]
    average = weight @ expected_relative_risk(weight, inputs.signals[at], many) / weight.sum()
    low, high = np.quantile(average, INTERVAL)
    return float(low), float(high)


def coefficients(inputs: MonthInputs, effects: pa.Table) -> list[Coefficient]:
    """Compare each coefficient with the estimate that unlimited randomised data would give."""
    target = best_coefficients(inputs.truth, inputs.signals)
    offers = [offer.offer for offer in inputs.decision.offers]
    names = (INTERCEPT, *inputs.decision.effects.signals)
    return [
        Coefficient(
            row["offer"],
            row["signal"],
            float(row["effect_mean"]),
            float(row["effect_sd"]),
            row["effect_source"],
            float(target[offers.index(row["offer"]), names.index(row["signal"])]),
        )
        for row in effects.to_pylist()
    ]


def best_coefficients(truth: Truth, signals: Floats) -> Floats:
    """Return the true effects in terms of the business's own signals: coefficients of shape (k, 1 + n_signals).

    The world's churn drivers are hidden and the signals only resemble them, so its own coefficients cannot be
    estimated. The target is the change of log-odds under an offer, logit p_a − logit p_0, regressed on [1, signals]
    by least squares with weights p_0 (1 − p_0), the Fisher information of a customer.
    """
    alone = truth.churn_alone
    change = _log_odds(truth.churn) - _log_odds(alone)[:, None]
    root = np.sqrt(alone * (1 - alone))[:, None]
    design = np.column_stack([np.ones(len(alone)), signals])
    return np.asarray(np.linalg.lstsq(design * root, change * root, rcond=None)[0].T)


def _log_odds(probability: Floats) -> Floats:
    return np.asarray(np.log(probability) - np.log1p(-probability))
