"""What opening a closed limit would return: the price of its first unit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models_ml.decisions.knapsack import Floats
from models_ml.decisions.limits import Limits


def price_closed_limits(
    value: Floats, cost: Floats, allowed: NDArray[np.bool_], limits: Limits, prices: Mapping[str, float]
) -> dict[str, float]:
    """Return the prices of the limits that are 0, each opened on its own; nothing where none is 0.

    A closed limit leaves no candidate behind, so that the dual says nothing about it (its price could be
    anything from here on without changing the bound). Its first unit returns what the customer who gains
    most by it would gain after paying the other prices.

    Parameters
    ----------
    value : ndarray of shape (n, k)
        Expected value less the touch price.
    cost : ndarray of shape (n, k)
    allowed : ndarray of bool of shape (n, k)
    limits : Limits
    prices : Mapping[str, float]
        As in ``Plan.prices``.

    Examples
    --------
    Two customers, one offer that costs 2 and is worth 6 and 3; without budget the first unit returns 3.

    >>> limits = Limits(0.0, np.array([9.0]), {"email": 9.0}, ("email",), ("nudge",))
    >>> prices = {"budget": 0.0, "offer nudge": 0.0, "channel email": 0.0}
    >>> price_closed_limits(np.array([[6.0], [3.0]]), np.full((2, 1), 2.0), np.full((2, 1), True), limits, prices)
    {'budget': 3.0}
    """
    offers = range(value.shape[1])
    names = [
        ("budget", f"offer {limits.offer_names[at]}", f"channel {limits.offer_channel[at]}") for at in offers
    ]
    amounts = {"budget": limits.budget}
    amounts |= {names[at][1]: float(limits.offer_capacity[at]) for at in offers}
    amounts |= {f"channel {name}": float(limits.channel_capacity[name]) for name in limits.channels}
    closed = {name for name, amount in amounts.items() if amount == 0}
    if not closed or not len(value):
        return {}
    best = np.zeros(len(value))
    gains: dict[str, list[Floats]] = {name: [] for name in closed}
    for opened in (None, *sorted(closed)):
        for at in offers:
            costs_money = cost[:, at] > 0
            needs = closed & set(names[at][1:])
            usable = allowed[:, at] & (not needs - {opened})
            if "budget" in closed and opened != "budget":
                usable = usable & ~costs_money
            slot_price = sum(prices[name] for name in names[at][1:] if name not in closed)
            money_price = 0.0 if "budget" in closed else prices["budget"]
            reduced = value[:, at] - money_price * cost[:, at] - slot_price
            if opened is None:
                best = np.maximum(best, np.where(usable, reduced, 0.0))
            elif opened == "budget":
                with np.errstate(over="ignore"):  # a cost of almost nothing
                    rate = (reduced - best)[usable & costs_money] / cost[usable & costs_money, at]
                gains[opened].append(np.minimum(rate, np.finfo(np.float64).max))
            elif opened in needs:
                gains[opened].append((reduced - best)[usable])
    return {
        name: float(max((part.max(initial=0.0) for part in parts), default=0.0))
        for name, parts in gains.items()
    }
