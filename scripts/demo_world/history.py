"""The months before the present, one independent chunk of customers after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from demo_world import records
from demo_world.contacts import past_contacts
from demo_world.event_records import customer_records, opened_periods
from demo_world.month import step_month
from demo_world.sign_ups import FIRST_CUSTOMER_ID, IDS_PER_CHUNK, base_started_on, initial_base, with_sign_ups
from demo_world.state import State

CHUNK_CUSTOMERS = 10_000
BASE_SHARE = 0.5  # of the customers are subscribed when history starts; the others sign up over its months
TRIAL_MONTHS = 14  # the trial runs in these last months of history, except in the very last


@dataclass(frozen=True)
class Chunk:
    """A group of customers that is simulated on its own: its number and its size."""

    number: int
    customers: int


def chunks(customers: int) -> Iterator[Chunk]:
    """Return the chunks of a world, all but the last of ``CHUNK_CUSTOMERS``.

    Examples
    --------
    >>> [chunk.customers for chunk in chunks(25_000)]
    [10000, 10000, 5000]
    """
    for number, first in enumerate(range(0, customers, CHUNK_CUSTOMERS)):
        yield Chunk(number, min(CHUNK_CUSTOMERS, customers - first))


def simulate_history(
    chunk: Chunk, *, months: int, ends_on: np.datetime64, seed: int, trial_months: int = TRIAL_MONTHS
) -> tuple[State, records.Events]:
    """Simulate the history of one chunk.

    Parameters
    ----------
    chunk : Chunk
        The result depends on its number and size only: the same chunk of a larger world is the same.
    months : int
        Length of history.
    ends_on : numpy.datetime64
        Last day of history, the last of a month.
    seed : int
        Seed of the world.
    trial_months : int
        Length of the randomised trial; 0 for a business that never ran one.

    Returns
    -------
    tuple of State and mapping of str to pyarrow.Table
        The world at the end, and all records, future knowledge included.
    """
    rng = np.random.default_rng([seed, chunk.number])
    first_month = ends_on.astype("M8[M]") - (months - 1)
    base = max(1, round(chunk.customers * BASE_SHARE))
    newcomers = np.diff(np.round(np.linspace(0, chunk.customers - base, months + 1)).astype(int))
    state = initial_base(first_month, base, FIRST_CUSTOMER_ID + chunk.number * IDS_PER_CHUNK, rng)
    everyone = np.arange(base)
    opening = opened_periods(state, state.account, everyone, base_started_on(state))
    months_of_records = []
    for month, joining in enumerate(newcomers):
        months_left = months - 1 - month
        contacts = past_contacts(
            state, rng, is_last=months_left == 0, has_trial=0 < months_left <= trial_months
        )
        state, events = step_month(with_sign_ups(state, int(joining), rng), contacts, rng)
        months_of_records.append(events)
    first = {name: table.slice(0, 0) for name, table in months_of_records[0].items()}
    first |= {"customers": customer_records(state, everyone), "subscriptions": opening}
    return state, records.concatenated([first, *months_of_records])
