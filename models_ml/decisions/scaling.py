"""The knapsack of one decision: candidates only, in tie order, money in powers of two."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models_ml.decisions.knapsack import Floats, Knapsack
from models_ml.decisions.limits import Limits


@dataclass(frozen=True)
class Scaled:
    """A knapsack, the input row of each of its customers (n',), and the units of its values and costs."""

    problem: Knapsack
    rows: NDArray[np.int64]
    value_unit: float
    money_unit: float


def scale(
    value: Floats,
    cost: Floats,
    allowed: NDArray[np.bool_],
    limits: Limits,
    touch_price: float,
    order: NDArray[np.int64],
) -> Scaled:
    """Build the knapsack from (n, k) values and costs, customers in ``order``.

    Customers that no offer can help are left out, and offers that a limit of 0 closes. Money is divided by
    powers of two, which changes no bit of a mantissa: scaling all money by one changes no decision.
    """
    channels = limits.channels
    member = np.array([[channel == of for of in limits.offer_channel] for channel in channels])
    slots = np.vstack([np.eye(len(limits.offer_capacity), dtype=bool), member])
    capacity = np.concatenate([limits.offer_capacity, [limits.channel_capacity[name] for name in channels]])
    useful = allowed & (value - touch_price > 0) & ~slots[capacity == 0].any(axis=0)
    if limits.budget == 0:
        useful &= cost == 0
    rows = order[useful.any(axis=1)[order]]
    unit, money = _power_of_two(value, useful), _power_of_two(cost, useful)
    values = np.full((value.shape[1], len(rows)), -np.inf)
    for offer in range(value.shape[1]):
        keep = useful[rows, offer]
        values[offer, keep] = (value[rows[keep], offer] - touch_price) / unit
    if len(rows) and (cost == cost[:1]).all():
        costs = np.broadcast_to(cost[:1].T / money, values.shape)
    else:
        costs = np.ascontiguousarray(cost[rows].T) / money
    amounts = np.concatenate([[limits.budget / money], capacity])
    highest = np.max(costs, axis=0, where=np.isfinite(values), initial=0.0)
    active = np.concatenate(
        [[math.fsum(highest.tolist()) > amounts[0]], _binding_slots(values, slots, capacity)]
    )
    return Scaled(Knapsack(values, costs, slots, amounts, active), rows, unit, money)


def in_own_money_unit(problem: Knapsack) -> tuple[Knapsack, float]:
    """Return the problem with money in the power of two of its candidates' highest cost, and that unit.

    So offers that are no candidates leave no trace, not even in the last bit.
    """
    candidates = np.isfinite(problem.value)
    unit = _power_of_two(problem.cost, candidates)
    if problem.has_constant_costs:
        cost = np.broadcast_to(problem.cost[:, :1] / unit, problem.cost.shape)
    else:
        cost = problem.cost / unit
    limits = problem.limits.copy()
    limits[0] /= unit
    return replace(problem, cost=cost, limits=limits), unit


def _binding_slots(
    values: Floats, slots: NDArray[np.bool_], capacity: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Tell the slot limits that can bind: below what their offers can use, and implied by no other limit."""
    offers = values.shape[0]
    usable = np.minimum(np.isfinite(values).sum(axis=1), capacity[:offers])
    can_use = np.concatenate([np.isfinite(values).sum(axis=1), slots[offers:] @ usable])
    binding = can_use > capacity
    for limit in np.flatnonzero(binding):
        covers = (slots | ~slots[limit]).all(axis=1) & (capacity <= capacity[limit]) & binding
        covers[limit] = False
        binding[limit] = not covers.any()
    return binding


def _power_of_two(amounts: Floats, useful: NDArray[np.bool_]) -> float:
    highest = float(np.max(amounts, where=useful, initial=0.0))
    return math.ldexp(1.0, math.frexp(highest)[1]) if highest > 0 else 1.0
