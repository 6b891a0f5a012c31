"""A simulated business in which the value of the policy is known: customers, policy, holdouts, outcomes.

Churn, its estimate and the effect of every offer are drawn, so that the expected value of each planned contact
is known exactly: p0 (1 − ρ) V − cost. The policy assumes other effects than the true ones.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy.special import expit

from models_ml.decisions.randomisation import NOT_CHOSEN, POLICY, SUPPRESSED, propensities, withhold

CONTACT_COST = np.array([0.30, 11.0])  # an e-mail; a call with its share of accepted discounts
TRUE_RISK = np.array([0.93, 0.72])  # mean relative risk of both
BELIEVED_RISK = np.array([0.88, 0.80])
VALUE_SPREAD = 1.0  # standard deviation of log value, between a subscription (0.6) and a shop (1.2)
CAPACITY_PRICE = np.array([1.5, 4.0])  # a contact must earn so much beyond its cost, as under a capacity


@dataclass(frozen=True)
class Logged:
    """Customer-months, one row each: all arrays have shape (n,); money in one currency.

    ``planned`` is the action of the policy, 0 for none; ``true_value`` its expected value compared with leaving the
    customer alone; ``predicted_nothing`` and ``predicted_planned`` are the rewards that the policy expects. ``loss``
    is minus the value of churned customers, minus cost.
    """

    customer: np.ndarray
    planned: np.ndarray
    is_contacted: np.ndarray
    propensity: np.ndarray
    customer_value: np.ndarray
    loss: np.ndarray
    predicted_nothing: np.ndarray
    predicted_planned: np.ndarray
    true_value: np.ndarray


def simulate_months(*, customers: int, months: int, holdout: float, random: np.random.Generator) -> Logged:
    """Simulate some months of a new population under the policy.

    Parameters
    ----------
    customers, months : int, >= 1
    holdout : float, 0.05 to 0.95
        Share of the chosen customers that is not contacted.
    random : numpy.random.Generator
    """
    risk = random.normal(-3.7, 1.0, customers)  # log-odds of leaving within a month
    value = np.round(np.exp(random.normal(5.0, VALUE_SPREAD, customers)), 2)
    customer, resting = np.arange(customers), np.zeros(customers, dtype=bool)
    months_simulated = []
    for _ in range(months):
        logged, left = _month(customer, risk[customer], value[customer], resting, holdout, random)
        months_simulated.append(logged)
        resting = (logged.planned > 0)[~left]  # cool-down; held out customers rest for the horizon too
        customer = customer[~left]
    joined = {name: np.concatenate([getattr(month, name) for month in months_simulated]) for name in _NAMES}
    return Logged(**joined)


_NAMES = [field.name for field in fields(Logged)]


def _month(
    customer: np.ndarray,
    risk: np.ndarray,
    value: np.ndarray,
    resting: np.ndarray,
    holdout: float,
    random: np.random.Generator,
) -> tuple[Logged, np.ndarray]:
    """Return the rows of a month, and whether each customer left in it."""
    rows = np.arange(len(customer))
    risk = risk + random.normal(0.0, 0.6, len(rows))
    churn = expit(risk)
    believed = expit(risk + random.normal(0.0, 0.35, len(rows)))
    planned = _plan(believed, value, resting)
    arms = np.where(resting, SUPPRESSED, NOT_CHOSEN).astype(np.int8)
    arms = withhold(arms, planned - 1, random.random(len(rows)), holdout)
    propensity, _ = propensities(arms, np.ones(len(rows)), np.ones(len(rows)), holdout)
    effect = np.concatenate(
        [np.ones((len(rows), 1)), TRUE_RISK + random.normal(0.0, 0.08, (len(rows), 2))], 1
    )
    cost = np.concatenate([[0.0], CONTACT_COST])
    is_contacted = arms == POLICY
    action = np.where(is_contacted, planned, 0)
    left = random.random(len(rows)) < churn * effect[rows, action]
    believed_effect = np.concatenate([[1.0], BELIEVED_RISK])
    return Logged(
        customer=customer,
        planned=planned,
        is_contacted=is_contacted,
        propensity=propensity,
        customer_value=value,
        loss=-(left * value) - cost[action],
        predicted_nothing=-believed * value,
        predicted_planned=-believed * believed_effect[planned] * value - cost[planned],
        true_value=churn * (1.0 - effect[rows, planned]) * value - cost[planned],
    ), left


def _plan(believed: np.ndarray, value: np.ndarray, resting: np.ndarray) -> np.ndarray:
    """Return the action planned for each customer, 0 for none: the best after the price of its capacity."""
    gain = (believed * value)[:, None] * (1.0 - BELIEVED_RISK) - CONTACT_COST - CAPACITY_PRICE
    return np.where((gain.max(axis=1) > 0) & ~resting, gain.argmax(axis=1) + 1, 0)
