"""The demo world after its history, month by month, with contacts decided outside the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from demo_world import economy, records
from demo_world.contacts import Contacts
from demo_world.history import BASE_SHARE, TRIAL_MONTHS, chunks, simulate_history
from demo_world.month import step_month
from demo_world.sign_ups import with_sign_ups
from demo_world.state import State, joined

from models_ml.errors import BayesPilotError

AFTER_HISTORY = 1_000_000  # part of the seeds of later months: no chunk has this number


@dataclass(frozen=True)
class World:
    """The state at the start of a month and all records so far, facts that become known later included.

    ``joining`` customers sign up in each month to come. All draws of a month depend on ``seed`` and the month:
    two worlds that differ in their contacts differ by the effects of these contacts only.
    """

    state: State
    events: records.Events
    joining: int
    seed: int

    @property
    def as_of_date(self) -> np.datetime64:
        """The day before the month to come: the last one that the business knows."""
        return self.state.starts_on - 1


def start_world(
    *, customers: int, months: int, ends_on: np.datetime64, seed: int, trial_months: int = TRIAL_MONTHS
) -> World:
    """Simulate the history of a world; return the world at the end of ``ends_on``."""
    histories = [
        simulate_history(chunk, months=months, ends_on=ends_on, seed=seed, trial_months=trial_months)
        for chunk in chunks(customers)
    ]
    state = histories[0][0]
    for other, _ in histories[1:]:
        state = State(
            state.month,
            joined(state.traits, other.traits),
            joined(state.account, other.account),
            joined(state.drivers, other.drivers),
        )
    joining = round(customers * (1 - BASE_SHARE) / months)
    return World(state, records.concatenated([events for _, events in histories]), joining, seed)


def raw_tables(world: World) -> records.Events:
    """Return the raw tables as the business knows them at the end of ``as_of_date``."""
    return records.observed(world.events, world.as_of_date)


def next_month(world: World, contacts: Contacts) -> World:
    """Return the world a month later, after the contacts; the argument is not changed."""
    rng = np.random.default_rng([world.seed, AFTER_HISTORY, int(world.state.month.astype(int))])
    state, events = step_month(with_sign_ups(world.state, world.joining, rng), contacts, rng)
    return World(state, records.concatenated([world.events, events]), world.joining, world.seed)


def contacts_of(state: State, actions: pa.Table) -> Contacts:
    """Return the contacts that execute all ``actions`` on the first day of the month to come.

    Parameters
    ----------
    state : State
        The world at the start of that month.
    actions : pyarrow.Table
        ``action_id``, ``customer_id`` (text) and ``action``, one row per customer.

    Raises
    ------
    BayesPilotError
        When an action names a customer or an offer that the world does not know.
    """
    customer_id = np.array([int(each) for each in actions["customer_id"].to_pylist()], dtype=np.int64)
    names = actions["action"].to_pylist()
    unknown = sorted(set(names) - set(economy.OFFERS))
    position = np.searchsorted(state.traits.customer_id, customer_id)
    found = state.traits.customer_id[np.minimum(position, state.customers - 1)] == customer_id
    if unknown or not found.all():
        raise BayesPilotError(
            "actions name offers or customers that the demo world does not know",
            where="retention_actions_deliverable",
            values=[*unknown, *customer_id[~found].tolist()],
        )
    order = np.argsort(position, kind="stable")
    offer = np.array([economy.OFFERS.index(name) for name in names], dtype=np.int8)
    action_id = actions["action_id"].to_pylist()
    return Contacts(
        position=position[order],
        offer=offer[order],
        day_offset=np.zeros(len(order), dtype=np.int64),
        # Arms and propensities of BayesPilot's own actions stand in its history, not in the contact records.
        is_randomized=np.zeros(len(order), dtype=bool),
        propensity=np.full(len(order), np.nan),
        action_id=tuple(action_id[row] for row in order),
    )
