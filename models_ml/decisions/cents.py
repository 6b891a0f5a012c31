"""Money as whole cents: sums are exact in any order, and no rounding can carry a plan over its budget.

A decision is made in the cents that it is reported in. Values are rounded to the nearest cent, costs up and
limits down, so that the sum of the reported costs never exceeds the limit. Whole numbers are kept in doubles,
which hold them exactly up to 9e15.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models_ml.decisions.limits import Limits

Floats = NDArray[np.float64]
CENTS = 100.0
_NOISE = 1e-6  # of a cent: 9.25 * 100 may come out as 925.0000000001


def nearest_cents(money: ArrayLike) -> Floats:
    """Round money to whole cents, halves to even.

    >>> nearest_cents([1.234, -0.006]).tolist()
    [123.0, -1.0]
    """
    return np.rint(np.asarray(money, dtype=np.float64) * CENTS)


def cents_up(money: ArrayLike) -> Floats:
    """Round costs up to whole cents.

    >>> cents_up([9.25, 0.101, 0.0]).tolist()
    [925.0, 11.0, 0.0]
    """
    return np.ceil(np.asarray(money, dtype=np.float64) * CENTS - _NOISE) + 0.0  # never -0.0


def cents_down(money: ArrayLike) -> Floats:
    """Round limits down to whole cents.

    >>> cents_down([9.25, 0.109]).tolist()
    [925.0, 10.0]
    """
    return np.floor(np.asarray(money, dtype=np.float64) * CENTS + _NOISE)


def money(cents: ArrayLike) -> Floats:
    """Return whole cents as money: the double nearest to the decimal amount.

    >>> money([123.0]).tolist()
    [1.23]
    """
    return np.asarray(cents, dtype=np.float64) / CENTS


def limits_in_cents(limits: Limits) -> Limits:
    """Return the same limits with the budget in whole cents."""
    return Limits(
        float(cents_down(limits.budget)),
        limits.offer_capacity,
        limits.channel_capacity,
        limits.offer_channel,
        limits.offer_names,
    )
