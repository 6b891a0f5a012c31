"""What a contact is expected to be worth: v = E[p_0 − p_o]·V − c − q·g, with costs of the customer's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from models_ml.decisions.offer_beliefs import EffectBeliefs, Floats, relative_risk_and_sd
from models_ml.errors import BayesPilotError

LARGEST_AMOUNT = 1e12  # money; beyond it, cents are no longer whole numbers of a double


@dataclass(frozen=True)
class Costs:
    """What contacting costs: ``contact`` and ``incentive`` are money per contact and per acceptance.

    ``acceptance`` is the probability that a contacted customer accepts. Each broadcasts to (n, k).
    """

    contact: Floats
    incentive: Floats
    acceptance: Floats

    @property
    def expected(self) -> Floats:
        """Expected cost of one contact, c + q·g."""
        return np.asarray(self.contact + self.acceptance * self.incentive)


@dataclass(frozen=True)
class OfferValues:
    """Economics of n customers × k offers, money in the policy's currency.

    ``expected_value``, ``expected_cost`` and ``relative_risk`` are (n, k), ``customer_value`` is (n,); ``effect_sd``
    (n, k) is how little is known of an effect, in log-odds.
    """

    expected_value: Floats
    expected_cost: Floats
    relative_risk: Floats
    customer_value: Floats
    effect_sd: Floats


def value_offers(
    churn_probability: ArrayLike,
    customer_value: ArrayLike,
    signals: ArrayLike,
    *,
    costs: Costs,
    beliefs: EffectBeliefs,
) -> OfferValues:
    """Value every offer for every customer.

    Parameters
    ----------
    churn_probability : array-like of shape (n,)
        In [0, 1], within the horizon if left alone.
    customer_value : array-like of shape (n,)
        Margin lost with the customer, money ≥ 0.
    signals : array-like of shape (n, s)
        Reason signals in the order of ``beliefs.signals``.
    costs : Costs
        Of the k offers, for each customer or for all.
    beliefs : EffectBeliefs

    Returns
    -------
    OfferValues
        The expected incentive includes what customers accept that would have stayed anyway. ``expected_cost`` is a
        read-only view where costs are the same for all customers.

    Raises
    ------
    BayesPilotError
        When a number is missing or out of range.

    Examples
    --------
    A call halves the odds of a customer who leaves with probability 1/2 and is worth 300; it costs 2, and a quarter of
    those called accept a credit of 40:

    >>> beliefs = EffectBeliefs(("call",), (), np.log([[0.5]]), np.zeros((1, 1)), np.zeros((1, 1), bool))
    >>> costs = Costs(np.array([2.0]), np.array([40.0]), np.array([0.25]))
    >>> found = value_offers([0.5], [300.0], np.empty((1, 0)), costs=costs, beliefs=beliefs)
    >>> found.expected_value.round(6).tolist(), found.expected_cost.tolist()
    ([[38.0]], [[12.0]])
    """
    alone = checked("churn_probability", churn_probability, 0.0, 1.0)
    worth = checked("customer_value", customer_value, 0.0, LARGEST_AMOUNT)
    shown = checked("a reason signal", signals, -1e6, 1e6).reshape(len(alone), len(beliefs.signals))
    for name in ("contact", "incentive"):
        checked(f"{name}_cost", getattr(costs, name), 0.0, LARGEST_AMOUNT)
    checked("the acceptance probability", costs.acceptance, 0.0, 1.0)
    risk, effect_sd = relative_risk_and_sd(alone, shown, beliefs)
    cost = np.broadcast_to(costs.expected, risk.shape)
    value = 1.0 - risk
    value *= (alone * worth)[:, None]
    value -= cost
    return OfferValues(value, cost, risk, worth, effect_sd)


def checked(name: str, values: ArrayLike, low: float, high: float) -> Floats:
    """Return values as doubles.

    Raises
    ------
    BayesPilotError
        When one is missing or outside [low, high].
    """
    array = np.asarray(values, dtype=np.float64)
    wrong = ~((array >= low) & (array <= high))
    if wrong.any():
        raise BayesPilotError(
            f"{name} is missing or outside [{low:g}, {high:g}]",
            where="the customers that are to be decided",
            values=array[wrong].tolist(),
            next_step="dbt build -s +int_decision_candidates",
        )
    return array
