"""Spreading events over the days of a month on which the customer is subscribed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from demo_world.economy import DayArray, FloatArray, IntArray
from demo_world.presence import Presence
from demo_world.state import State

FIRST_HOUR, LAST_HOUR = 6, 21  # UTC; the tracker rounds down to the hour


def repeated(counts: IntArray) -> tuple[IntArray, IntArray]:
    """Return the position of each event's customer, and its number 0.. among that customer's events.

    Examples
    --------
    >>> [each.tolist() for each in repeated(np.array([2, 0, 1]))]
    [[0, 0, 2], [0, 1, 0]]
    """
    position = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    return position, np.arange(len(position)) - first[position]


def small_counts(mean: npt.NDArray[np.floating], uniform: FloatArray) -> IntArray:
    """Return Poisson counts (n,), cut off at 8, by inverting one uniform number each.

    One number a customer, whatever its mean: a contact of one customer does not shift the luck of the others.

    Examples
    --------
    >>> small_counts(np.array([1.0, 1.0, 0.0]), np.array([0.3, 0.5, 0.9])).tolist()
    [0, 1, 0]
    """
    probability = np.exp(-mean)
    cumulated, counts = probability, np.zeros(len(mean), dtype=np.int64)
    for count in range(1, 9):
        counts += uniform >= cumulated
        probability = probability * mean / count
        cumulated = cumulated + probability
    return counts


def moments(state: State, presence: Presence, at: IntArray, rng: np.random.Generator) -> DayArray:
    """Return a random full hour within the served days of the month for each event of a customer."""
    starts, ends = presence.starts[at], presence.ends[at]
    day = starts + np.floor(rng.random(len(at)) * (ends - starts)).astype(np.int64)
    return on_hours(state, day, rng)


def on_hours(state: State, day_offset: IntArray, rng: np.random.Generator) -> DayArray:
    """Return a random full hour of the day, around noon more often, on each day of the month."""
    hour = FIRST_HOUR + rng.binomial(LAST_HOUR - FIRST_HOUR, 0.5, len(day_offset))
    return state.starts_on.astype("M8[h]") + (24 * day_offset + hour).astype("m8[h]")
