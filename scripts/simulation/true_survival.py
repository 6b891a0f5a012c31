"""How long customers of the demo world truly stay: the world simulated on without contacts.

The hidden churn probability of each later month says how many leave; which of them do so is drawn, and repeated. What
comes out is a retention curve by the *true* churn probability of the first month.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from demo_world.contacts import Contacts
from demo_world.economy import HORIZON_DAYS, NO_ACTION
from demo_world.probabilities import churn_probability
from demo_world.state import State
from numpy.typing import NDArray

from models_ml.decisions.retention_curves import RetentionCurves
from models_ml.decisions.retention_fit import Renewals, fit_retention_curves, grouped_follow_up
from models_ml.decisions.settings import load_settings
from simulation.world import World, next_month

MONTHS = 12
PATHS = 2
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TrueSurvival:
    """How long n customers stay: ``curves`` by true churn probability, and when the customers renew, each (n,)."""

    curves: RetentionCurves
    renewal_interval_days: Floats
    days_to_renewal: Floats


def true_curves(world: World) -> RetentionCurves:
    """Simulate a world on without contacts and fit retention curves to it."""
    settings = load_settings().retention_curves
    rows: list[tuple[np.ndarray, ...]] = []
    renewals = np.zeros(2)
    for path in range(PATHS):
        future = World(
            world.state, {name: table.slice(0, 0) for name, table in world.events.items()}, 0, path
        )
        start = future.state
        risk = churn_probability(start, _nothing(start))
        stays = start.account.is_subscribed.copy()
        is_annual = start.account.is_annual
        for period in range(MONTHS + 1):
            state = future.state
            renews = stays & is_annual & (state.account.commitment_ends_on.astype("M8[M]") == state.month)
            future = next_month(future, no_contacts())
            left = stays & ~future.state.account.is_subscribed[: len(stays)]
            renewals += [renews.sum(), (left & is_annual).sum()]
            followed = np.flatnonzero(stays & ~is_annual)
            if period:
                rows.append((risk[followed], np.full(len(followed), period), left[followed]))
            stays &= ~left
    probability, period_of, has_left = (np.concatenate(each) for each in zip(*rows, strict=True))
    return fit_retention_curves(
        grouped_follow_up(probability, period_of, has_left, np.ones(len(probability)), settings),
        Renewals(np.array([365]), renewals[:1], renewals[1:]),
        mean_churn=float(risk[start.account.is_subscribed].mean()),
        horizon_days=HORIZON_DAYS,
        repeats=1.0,
        settings=settings,
    )


def no_contacts() -> Contacts:
    """Return a month without any contact."""
    none = np.empty(0, dtype=np.int64)
    return Contacts(
        position=none,
        offer=none.astype(np.int8),
        day_offset=none,
        is_randomized=none.astype(bool),
        propensity=np.empty(0),
        action_id=(),
    )


def _nothing(state: State) -> NDArray[np.int8]:
    return np.full(state.customers, NO_ACTION, dtype=np.int8)
