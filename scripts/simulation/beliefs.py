"""Believed effects of the offers, compared with the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.special import expit

from models_ml.decisions.offer_beliefs import EffectBeliefs, expected_relative_risk
from simulation.true_value import Floats, MonthInputs, Truth

DRAWS = 200
INTERVAL = (0.05, 0.95)
SAMPLE = 500  # customers for the interval; its width hardly depends on the sample
INTERCEPT = "intercept"
NEWTON_STEPS, TOLERANCE = 50, 1e-10
RIDGE = 1e-6  # a signal that no customer shows gets the coefficient 0


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
    target = learnable_coefficients(inputs.truth, inputs.signals, inputs.customers.churn_probability)
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


def learnable_coefficients(truth: Truth, signals: Floats, churn_probability: Floats) -> Floats:
    """Return the coefficients (k, 1 + n_signals) that unlimited randomised data about all customers would give.

    The world's churn drivers are hidden and the signals only resemble them, so its own coefficients cannot be learned.
    What can be is the model of the effects (:mod:`models_ml.effects`), fitted without noise:

        logit p_alone = logit p_0 + (1, z) · calibration,        logit p_o = logit p_alone + (1, z) · b_o,

    p_0 the deployed churn probability, the true probabilities in place of outcomes. Customers whose risk the model does
    not see make these effects smaller than each customer's own.
    """
    design = np.column_stack([np.ones(len(signals)), signals])
    estimate = _log_odds(churn_probability)
    alone = estimate + design @ _fractional_logit(design, truth.churn_alone, estimate)
    return np.stack([_fractional_logit(design, of_offer, alone) for of_offer in truth.churn.T])


def learnable_acceptance(truth: Truth, signals: Floats) -> Floats:
    """Return the coefficients (k, 1 + n_signals) of accepting that unlimited contacts of all customers would give.

    As `learnable_coefficients`, of the acceptance model: logit q_o = (1, z) · a_o.
    """
    design = np.column_stack([np.ones(len(signals)), signals])
    return np.stack([_fractional_logit(design, of, np.zeros(len(signals))) for of in truth.acceptance.T])


def _fractional_logit(design: Floats, share: Floats, offset: Floats) -> Floats:
    """Return the maximum of Σ share · log p + (1 − share) · log(1 − p), logit p = offset + design · b (Newton)."""
    b = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):
        p = expit(offset + design @ b)
        curvature = (design * (p * (1.0 - p))[:, None]).T @ design + RIDGE * np.eye(len(b))
        step = np.linalg.solve(curvature, design.T @ (share - p) - RIDGE * b)
        b += step
        if np.abs(step).max() < TOLERANCE:
            break
    return b


def _log_odds(probability: Floats) -> Floats:
    return np.asarray(np.log(probability) - np.log1p(-probability))
