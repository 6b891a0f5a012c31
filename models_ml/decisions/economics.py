"""What a contact is worth: customer value, relative risk under an offer, incremental expected value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models_ml.decisions.policy import DecisionInputs, OfferEffects, Policy
from models_ml.errors import BayesPilotError

DAYS_PER_MONTH = 30.0  # monthly_revenue is money per 30 days
DAYS_PER_YEAR = 365.0
LARGEST_LOG_ODDS = 500.0  # its exponential is still finite; at that size the offer's risk is 0 or 1 anyway

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Valuation:
    """Economics of n customers × k offers, money in the policy's currency.

    ``expected_value``, ``expected_cost`` and ``relative_risk`` are (n, k), ``customer_value`` is (n,).
    """

    expected_value: Floats
    expected_cost: Floats
    relative_risk: Floats
    customer_value: Floats


def customer_value(monthly_revenue: ArrayLike, churn_probability: ArrayLike, policy: Policy) -> Floats:
    """Return the margin that is lost if the customer leaves within the horizon, discounted to the as_of_date.

    Time is cut into periods of H = ``horizon_days``; period 0 is the horizon itself. A customer who leaves in a
    period still brings the margin of that period, so leaving in period 0 costs the margin of periods 1, 2, … up
    to day W = ``value_horizon_days``. A customer who stays now leaves in each later period with the same churn
    probability p, so that period j is reached with probability (1 − p)^(j − 1):

        V = Σ_{j ≥ 1, jH < W}  (1 − p)^(j − 1) · m · d_j · (1 + r)^(−(jH + d_j / 2) / 365)

    with m = max(monthly_revenue, 0) · margin_rate / 30 the margin per day, d_j = min(H, W − jH) the days of
    the period (the last one is cut at W) and r the annual discount rate, applied at the middle of the period.

    At p = 1 the value is the margin of one period, at p = 0 the discounted margin of every day from H to W.
    Negative revenue (more returned than bought) counts as 0: losing a customer never counts as a gain.

    Parameters
    ----------
    monthly_revenue : array-like of shape (n,)
        Money per 30 days, finite.
    churn_probability : array-like of shape (n,)
        Probability in [0, 1] of churn within the horizon without contact.
    policy : Policy
        Gives margin_rate, horizon_days, value_horizon_days and annual_discount_rate.

    Returns
    -------
    ndarray of shape (n,)
        Money, ≥ 0.

    Raises
    ------
    BayesPilotError
        When revenue is not finite or a probability lies outside [0, 1].

    Examples
    --------
    Thirty a month at a margin of one half, horizon 30 days, value over 90 days, no discounting: two periods
    of 15 each, the second reached with probability 1 − p.

    >>> from types import SimpleNamespace
    >>> terms = SimpleNamespace(
    ...     margin_rate=0.5, horizon_days=30, value_horizon_days=90, annual_discount_rate=0.0)
    >>> customer_value([30.0, 30.0, 30.0, -5.0], [0.0, 0.4, 1.0, 0.4], terms).tolist()
    [30.0, 24.0, 15.0, 0.0]
    """
    revenue = _checked("monthly_revenue", monthly_revenue, -1e300, 1e300)
    stays = 1.0 - _checked("churn_probability", churn_probability, 0.0, 1.0)
    horizon, last_day = policy.horizon_days, policy.value_horizon_days
    days_of_value = np.zeros_like(stays)
    for start in reversed(range(horizon, last_day, horizon)):  # Horner's rule, the last period first
        days = min(horizon, last_day - start)
        middle = start + days / 2
        discounted = days * (1.0 + policy.annual_discount_rate) ** (-middle / DAYS_PER_YEAR)
        days_of_value = discounted + stays * days_of_value
    return np.maximum(revenue, 0.0) * policy.margin_rate / DAYS_PER_MONTH * days_of_value


def relative_risk(churn_probability: ArrayLike, signals: ArrayLike, effects: OfferEffects) -> Floats:
    """Return churn probability under each offer over churn probability without contact; above 1 the offer harms.

    From logit p_a = logit p_0 + η with η = b_a · [1, z] follows, without taking any logit,

        ρ = p_a / p_0 = 1 / (p_0 + (1 − p_0) · e^(−η)),

    which stays finite and exact at p_0 = 0 (ρ = e^η, the odds ratio) and at p_0 = 1 (ρ = 1).

    Parameters
    ----------
    churn_probability : array-like of shape (n,)
        In [0, 1].
    signals : array-like of shape (n, n_signals)
        Reason signals in the order of ``effects.signals``, about 0–2 each.
    effects : OfferEffects
        Coefficients of shape (k, 1 + n_signals).

    Returns
    -------
    ndarray of shape (n, k)

    Raises
    ------
    BayesPilotError
        When a probability lies outside [0, 1] or a signal is missing.

    Examples
    --------
    Halving the odds at p_0 = 1/2 gives 1/3, a relative risk of 2/3.

    >>> halves = OfferEffects((), np.log([[0.5], [2.0]]), np.array([False, False]))
    >>> relative_risk([0.5, 0.0, 1.0], np.empty((3, 0)), halves).round(6).tolist()
    [[0.666667, 1.333333], [0.5, 2.0], [1.0, 1.0]]
    """
    p0 = _checked("churn_probability", churn_probability, 0.0, 1.0)[:, None]
    z = _checked("a reason signal", signals, -1e6, 1e6).reshape(len(p0), len(effects.signals))
    log_odds = np.empty((len(z), len(effects.coefficients)))
    log_odds[:] = effects.coefficients[:, 0]
    for j in range(z.shape[1]):  # column by column: a matrix product may differ with the size of the batch
        log_odds += z[:, j, None] * effects.coefficients[:, 1 + j]
    np.clip(log_odds, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS, out=log_odds)
    return 1.0 / (p0 + (1.0 - p0) * np.exp(-log_odds))


def incremental_expected_value(
    churn_probability: ArrayLike,
    relative_risk: ArrayLike,
    customer_value: ArrayLike,
    contact_cost: ArrayLike,
    acceptance_rate: ArrayLike,
    incentive_cost: ArrayLike,
) -> Floats:
    """Return what contacting a customer is worth compared with no contact: v = p0·(1 − ρ)·V − c − q·g.

    Arguments broadcast against each other. The first term is the margin kept (negative where the offer
    harms); the incentive is also paid to customers who accept it but would have stayed anyway.

    Examples
    --------
    >>> float(incremental_expected_value(0.5, 0.75, 400.0, 2.0, 0.25, 40.0))
    38.0
    """
    saved = np.asarray(churn_probability) * (1.0 - np.asarray(relative_risk)) * np.asarray(customer_value)
    return saved - np.asarray(contact_cost) - np.asarray(acceptance_rate) * np.asarray(incentive_cost)


def value_offers(
    churn_probability: ArrayLike, monthly_revenue: ArrayLike, signals: ArrayLike, inputs: DecisionInputs
) -> Valuation:
    """Value every offer for every customer.

    Parameters
    ----------
    churn_probability, monthly_revenue : array-like of shape (n,)
        Probability in [0, 1] without contact; money per 30 days.
    signals : array-like of shape (n, n_signals)
        Reason signals in the order of ``inputs.effects.signals``.
    inputs : DecisionInputs
        Policy, offers and their effects.

    Returns
    -------
    Valuation
        ``expected_cost`` is a read-only view: an offer costs c + q·g for every customer.

    Raises
    ------
    BayesPilotError
        When a probability lies outside [0, 1], or revenue or a signal is missing.
    """
    offers = inputs.offers
    contact = np.array([offer.contact_cost for offer in offers], dtype=np.float64)
    acceptance = np.array([offer.acceptance_rate for offer in offers], dtype=np.float64)
    incentive = np.array([offer.incentive_cost for offer in offers], dtype=np.float64)
    p0 = np.asarray(churn_probability, dtype=np.float64)
    risk = relative_risk(p0, signals, inputs.effects)
    margin = customer_value(monthly_revenue, p0, inputs.policy)
    value = incremental_expected_value(p0[:, None], risk, margin[:, None], contact, acceptance, incentive)
    return Valuation(value, np.broadcast_to(contact + acceptance * incentive, value.shape), risk, margin)


def _checked(name: str, values: ArrayLike, low: float, high: float) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    wrong = ~((array >= low) & (array <= high))
    if wrong.any():
        raise BayesPilotError(
            f"{name} is missing or outside [{low:g}, {high:g}]",
            where="the customers to decide on",
            values=array[wrong].tolist(),
            next_step="dbt build -s +int_decision_candidates",
        )
    return array
