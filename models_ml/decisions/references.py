"""Reference policies: what simpler rules would plan for the same customers, values and limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models_ml.decisions.knapsack import CHUNK
from models_ml.decisions.limits import Limits

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Positions = NDArray[np.int64]

LOW_RISK, HIGH_RISK = 0.3, 0.7  # the thresholds that define the reference "fixed thresholds"


@dataclass(frozen=True)
class Situation:
    """The inputs of a reference policy: n customers in order of customer_id, k offers.

    ``expected_value`` and ``expected_cost`` (n, k) are money, ``allowed`` (n, k) says which offers may be
    made, ``churn_probability`` is (n,), ``customer_value`` (n,) is the money lost if the customer leaves.
    """

    expected_value: Floats
    expected_cost: Floats
    allowed: Bools
    churn_probability: Floats
    customer_value: Floats
    limits: Limits


@dataclass(frozen=True)
class Reference:
    """The plan of a reference policy: ``choice`` (n,) with −1 for nothing, and its expected value."""

    choice: Positions
    value: float


def contact_nobody(situation: Situation) -> Reference:
    """Contact nobody."""
    return _sum_up(situation, np.full(len(situation.churn_probability), -1))


def fixed_thresholds(situation: Situation, *, low: float = LOW_RISK, high: float = HIGH_RISK) -> Reference:
    """Act on thresholds of churn probability, the highest first, regardless of the customer's value.

    At ``high`` or above (``escalate``) a customer gets the most expensive allowed offer, at ``low`` or above
    (``review``) the cheapest, below (``monitor``) none. The defaults define the reference.
    """
    risk = situation.churn_probability
    cheapest = np.where(situation.allowed, situation.expected_cost, np.inf).argmin(axis=1)
    costliest = np.where(situation.allowed, situation.expected_cost, -np.inf).argmax(axis=1)
    offer = np.where(risk >= high, costliest, cheapest)
    order = _by_risk(situation)
    contacted = (risk >= low) & situation.allowed.any(axis=1)
    rows = order[contacted[order]]
    return _sum_up(situation, _serve(situation, rows, offer[rows]))


def break_even(situation: Situation) -> Reference:
    """Contact where p · s · L > cost, with one offer and one save rate s for all; the highest p · L first.

    p is the churn probability, L the value lost with the customer. s is the share saved on average by the
    offer's assumed effect, Σ p (1 − ρ) L / Σ p L over customers who may get it: the rule does not distinguish
    customers by their response. Each offer is tried, and the plan of highest value is kept.
    """
    loss = situation.churn_probability * situation.customer_value
    order = np.argsort(-loss, kind="stable")
    plans = []
    for offer in range(situation.allowed.shape[1]):
        may, cost = situation.allowed[:, offer], situation.expected_cost[:, offer]
        at_stake = loss[may].sum()
        saved = (situation.expected_value[may, offer] + cost[may]).sum()
        save_rate = saved / at_stake if at_stake > 0 else 0.0
        rows = order[(may & (save_rate * loss > cost))[order]]
        plans.append(_sum_up(situation, _serve(situation, rows, np.full(len(rows), offer))))
    return _best(plans)


def top_risk(situation: Situation) -> Reference:
    """Contact the highest churn probability first, all with the same offer, until a limit is reached.

    Each offer is tried, and the plan of highest value is kept (among equal ones the first; a plan without
    contacts only if there is no other): the best that ranking by risk can do. It uses up its limits even where
    contacts lose money, as such policies do.
    """
    order = _by_risk(situation)
    plans = []
    for offer in range(situation.allowed.shape[1]):
        rows = order[situation.allowed[order, offer]]
        plans.append(_sum_up(situation, _serve(situation, rows, np.full(len(rows), offer))))
    return _best(plans)


def greedy_value_per_cost(situation: Situation) -> Reference:
    """Make the contact with the highest value per cost first, then the next, as long as it fits.

    Customers whose best offer has no capacity left compete with their next one. Offers that cost nothing have
    an infinite ratio; among equal ratios the higher value comes first.
    """
    worthwhile = situation.allowed & (situation.expected_value > 0)
    free = situation.expected_cost == 0
    ratio = np.where(free, np.inf, situation.expected_value / np.where(free, 1.0, situation.expected_cost))
    ratio = np.where(worthwhile, ratio, -np.inf)
    choice = np.full(len(ratio), -1)
    waiting, limits = np.flatnonzero(worthwhile.any(axis=1)), situation.limits
    while len(waiting):
        fits = limits.open_offers() & (situation.expected_cost[waiting] <= limits.budget)
        best_ratio = np.where(fits, ratio[waiting], -np.inf)
        keep = best_ratio.max(axis=1) > -np.inf
        waiting, best_ratio = waiting[keep], best_ratio[keep]
        is_best = best_ratio == best_ratio.max(axis=1, keepdims=True)
        offer = np.where(is_best, situation.expected_value[waiting], -np.inf).argmax(axis=1)
        value = situation.expected_value[waiting, offer]
        order = np.lexsort((waiting, -value, -best_ratio.max(axis=1)))
        rows, offers = waiting[order], offer[order]
        number, limits = serve_while_all_fit(situation.expected_cost, rows, offers, limits)
        choice[rows[:number]] = offers[:number]
        waiting = np.sort(rows[number:])
    return _sum_up(situation, choice)


REFERENCE_POLICIES: Mapping[str, Callable[[Situation], Reference]] = {
    "contact nobody": contact_nobody,
    "fixed thresholds": fixed_thresholds,
    "break-even": break_even,
    "top risk": top_risk,
    "greedy": greedy_value_per_cost,
}


def first_come(expected_cost: Floats, rows: Positions, offers: Positions, limits: Limits) -> Positions:
    """Serve ``rows`` in order, each with its offer, and skip customers who no longer fit the limits.

    Each pass serves all customers up to the first that does not fit, then drops all that can no longer fit. So
    the number of passes grows with the limits that run out, not with the customers.

    Parameters
    ----------
    expected_cost : ndarray of shape (n, k)
        In the unit of the budget.
    rows, offers : ndarray of int of shape (m,)
        Customers in the order of serving, and the offer of each.
    limits : Limits

    Returns
    -------
    ndarray of int
        Positions in ``rows`` of the customers served, ascending.

    Examples
    --------
    A budget of 5: after the first customer the second costs too much, the third still fits.

    >>> limits = Limits(5.0, np.array([9.0]), {"email": 9.0}, ("email",))
    >>> first_come(np.array([[3.0], [4.0], [2.0]]), np.arange(3), np.zeros(3, int), limits).tolist()
    [0, 2]
    """
    served = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(rows), CHUNK):
        waiting = np.arange(start, min(start + CHUNK, len(rows)))
        while len(waiting := waiting[_fits_alone(expected_cost, limits, rows[waiting], offers[waiting])]):
            number, limits = serve_while_all_fit(expected_cost, rows[waiting], offers[waiting], limits)
            served.append(waiting[:number])
            waiting = waiting[number:]
        if not limits.open_offers().any():
            break
    return np.sort(np.concatenate(served))


def serve_while_all_fit(
    expected_cost: Floats, rows: Positions, offers: Positions, limits: Limits
) -> tuple[int, Limits]:
    """Serve ``rows`` in order up to the first that does not fit; return how many, and what is left."""
    number = 0
    for start in range(0, len(rows), CHUNK):
        part = slice(start, min(start + CHUNK, len(rows)))
        cost = expected_cost[rows[part], offers[part]]
        contacts = offers[part, None] == np.arange(len(limits.offer_capacity))
        used = np.cumsum(contacts, axis=0)
        fits = (np.cumsum(cost) <= limits.budget) & (used <= limits.offer_capacity).all(axis=1)
        fits &= (used @ limits.channel_members.T <= limits.channel_capacities).all(axis=1)
        serves = len(cost) if fits.all() else int(fits.argmin())
        limits = limits.after(math.fsum(cost[:serves].tolist()), contacts[:serves].sum(axis=0))
        number += serves
        if serves < len(cost):
            break
    return number, limits


def _fits_alone(expected_cost: Floats, limits: Limits, rows: Positions, offers: Positions) -> Bools:
    return np.asarray(limits.open_offers()[offers] & (expected_cost[rows, offers] <= limits.budget))


def _by_risk(situation: Situation) -> Positions:
    return np.argsort(-situation.churn_probability, kind="stable")


def _best(plans: list[Reference]) -> Reference:
    return max(plans, key=lambda plan: (bool((plan.choice >= 0).any()), plan.value))


def _serve(situation: Situation, rows: Positions, offers: Positions) -> Positions:
    """Return the choice (n,) that serves ``rows`` in order, each with its offer, while limits last."""
    choice = np.full(len(situation.churn_probability), -1)
    served = first_come(situation.expected_cost, rows, offers, situation.limits)
    choice[rows[served]] = offers[served]
    return choice


def _sum_up(situation: Situation, choice: Positions) -> Reference:
    rows = np.flatnonzero(choice >= 0)
    value = math.fsum(situation.expected_value[rows, choice[rows]].tolist())
    return Reference(choice, value)
