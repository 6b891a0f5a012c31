"""Named reference policies: what simpler rules would have planned with the same inputs and limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models_ml.decisions.knapsack import CHUNK
from models_ml.decisions.limits import Limits

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Situation:
    """What every reference policy sees: n customers in order of customer_id, k offers.

    ``expected_value`` and ``expected_cost`` (n, k) are money, ``allowed`` (n, k) says which offers may be
    made, ``churn_probability`` is (n,).
    """

    expected_value: Floats
    expected_cost: Floats
    allowed: Bools
    churn_probability: Floats
    limits: Limits


@dataclass(frozen=True)
class Reference:
    """What a reference policy plans: ``choice`` (n,) with −1 for nothing, and what it is worth and costs."""

    choice: Positions
    value: float
    spend: float


def contact_nobody(situation: Situation) -> Reference:
    """Leave everyone alone: worth nothing, costs nothing."""
    return _sum_up(situation, np.full(len(situation.churn_probability), -1))


def top_risk(situation: Situation) -> Reference:
    """Contact the highest churn probability first, all with the same offer, until a limit is reached.

    Every single offer is tried and the one whose plan is worth most is kept (the first of equals, and any
    before one that reaches nobody): the best that ranking by risk can do. It uses its limits up even where
    contacts lose money, as such policies do.
    """
    order = _by_risk(situation)
    plans = []
    for offer in range(situation.allowed.shape[1]):
        rows = order[situation.allowed[order, offer]]
        plans.append(_sum_up(situation, _first_come(situation, rows, np.full(len(rows), offer))))
    return max(plans, key=lambda plan: (bool((plan.choice >= 0).any()), plan.value))


def fixed_tiers(situation: Situation, *, review_from: float, escalate_from: float) -> Reference:
    """Act on thresholds of churn probability, the highest first, whatever the customer is worth.

    From ``escalate_from`` on everyone gets the dearest offer that is allowed, from ``review_from`` on the
    cheapest, everyone below nothing.
    """
    risk = situation.churn_probability
    cheapest = np.where(situation.allowed, situation.expected_cost, np.inf).argmin(axis=1)
    dearest = np.where(situation.allowed, situation.expected_cost, -np.inf).argmax(axis=1)
    offer = np.where(risk >= escalate_from, dearest, cheapest)
    order = _by_risk(situation)
    contacted = (risk >= review_from) & situation.allowed.any(axis=1)
    rows = order[contacted[order]]
    return _sum_up(situation, _first_come(situation, rows, offer[rows]))


def break_even(situation: Situation) -> Reference:
    """Contact whoever returns more than the contact costs, the highest churn probability first.

    Everyone gets the own best offer; limits are not priced, they are just used up.
    """
    value = np.where(situation.allowed, situation.expected_value, -np.inf)
    offer, best = value.argmax(axis=1), value.max(axis=1)
    order = _by_risk(situation)
    rows = order[best[order] > 0]
    return _sum_up(situation, _first_come(situation, rows, offer[rows]))


def greedy_value_per_cost(situation: Situation) -> Reference:
    """Give each customer the offer with the highest value per cost, the best ratio first.

    Offers that cost nothing have an infinite ratio; among them the higher value comes first.
    """
    worthwhile = situation.allowed & (situation.expected_value > 0)
    free = situation.expected_cost == 0
    cost = np.where(free, 1.0, situation.expected_cost)
    ratio = np.where(worthwhile, np.where(free, np.inf, situation.expected_value / cost), -np.inf)
    is_best = ratio == ratio.max(axis=1, keepdims=True)
    offer = np.where(is_best, situation.expected_value, -np.inf).argmax(axis=1)
    everyone = np.arange(len(offer))
    best, value = ratio[everyone, offer], situation.expected_value[everyone, offer]
    order = np.lexsort((everyone, -value, -best))
    rows = order[best[order] > 0]
    return _sum_up(situation, _first_come(situation, rows, offer[rows]))


def _by_risk(situation: Situation) -> Positions:
    return np.argsort(-situation.churn_probability, kind="stable")


def _first_come(situation: Situation, rows: Positions, offers: Positions) -> Positions:
    """Serve ``rows`` in order, each with its offer, and skip whoever does not fit any more.

    Whole stretches are served at once, up to the first that does not fit; then all that can no longer fit
    are dropped. So the passes are as many as limits run out, not as many as customers.
    """
    choice = np.full(len(situation.churn_probability), -1)
    limits = situation.limits
    for start in range(0, len(rows), CHUNK):
        waiting = np.arange(start, min(start + CHUNK, len(rows)))
        while len(waiting := waiting[_fits_alone(situation, limits, rows[waiting], offers[waiting])]):
            cost = situation.expected_cost[rows[waiting], offers[waiting]]
            contacts = offers[waiting, None] == np.arange(len(limits.offer_capacity))
            used = np.cumsum(contacts, axis=0)
            fits = (np.cumsum(cost) <= limits.budget) & (used <= limits.offer_capacity).all(axis=1)
            fits &= (used @ _member(limits) <= _channel_capacity(limits)).all(axis=1)
            served = len(waiting) if fits.all() else int(fits.argmin())
            choice[rows[waiting[:served]]] = offers[waiting[:served]]
            limits = limits.after(math.fsum(cost[:served].tolist()), contacts[:served].sum(axis=0))
            waiting = waiting[served:]
    return choice


def _fits_alone(situation: Situation, limits: Limits, rows: Positions, offers: Positions) -> Bools:
    channel_open = (_member(limits) * (_channel_capacity(limits) < 1)).sum(axis=1) == 0
    is_open = (limits.offer_capacity >= 1) & channel_open
    return is_open[offers] & (situation.expected_cost[rows, offers] <= limits.budget)


def _member(limits: Limits) -> NDArray[np.int64]:
    """Offers (k) × channels (c): 1 where the offer uses the channel."""
    return np.array([[int(of == channel) for channel in limits.channels] for of in limits.offer_channel])


def _channel_capacity(limits: Limits) -> Floats:
    return np.array([limits.channel_capacity[channel] for channel in limits.channels])


def _sum_up(situation: Situation, choice: Positions) -> Reference:
    rows = np.flatnonzero(choice >= 0)
    value = math.fsum(situation.expected_value[rows, choice[rows]].tolist())
    spend = math.fsum(situation.expected_cost[rows, choice[rows]].tolist())
    return Reference(choice, value, spend)
