"""Serving customers in a given order, first come first served, until limits run out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from models_ml.decisions.knapsack import CHUNK
from models_ml.decisions.limits import Limits

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Positions = NDArray[np.int64]


def first_come(expected_cost: Floats, rows: Positions, offers: Positions, limits: Limits) -> Positions:
    """Serve ``rows`` in order, each with its offer, and skip whoever does not fit any more.

    Whole stretches are served at once, up to the first that does not fit; then all that can no longer fit
    are dropped. So the passes are as many as limits run out, not as many as customers.

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
        Positions in ``rows`` of those who were served, ascending.

    Examples
    --------
    Five of budget: the second customer costs too much by then, the third still fits.

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
        if not open_offers(limits).any():
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
        fits &= (used @ _member(limits) <= _channel_capacity(limits)).all(axis=1)
        serves = len(cost) if fits.all() else int(fits.argmin())
        limits = limits.after(math.fsum(cost[:serves].tolist()), contacts[:serves].sum(axis=0))
        number += serves
        if serves < len(cost):
            break
    return number, limits


def open_offers(limits: Limits) -> Bools:
    """Tell which offers (k,) still have a slot, of their own and on their channel."""
    channel_open = (_member(limits) * (_channel_capacity(limits) < 1)).sum(axis=1) == 0
    return np.asarray((limits.offer_capacity >= 1) & channel_open)


def _fits_alone(expected_cost: Floats, limits: Limits, rows: Positions, offers: Positions) -> Bools:
    return np.asarray(open_offers(limits)[offers] & (expected_cost[rows, offers] <= limits.budget))


def _member(limits: Limits) -> NDArray[np.int64]:
    """Offers (k) × channels (c): 1 where the offer uses the channel."""
    return np.array([[int(of == channel) for channel in limits.channels] for of in limits.offer_channel])


def _channel_capacity(limits: Limits) -> Floats:
    return np.array([limits.channel_capacity[channel] for channel in limits.channels])
