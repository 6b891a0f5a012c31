"""The tracked activity of a month: sessions, feature use, price interest, exports, add-ons."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from demo_world import economy, records
from demo_world.economy import BoolArray, CodeArray, DayArray, IntArray
from demo_world.presence import Presence
from demo_world.state import Mood, State
from demo_world.timing import moments, on_hours, repeated, small_counts

WEEKEND_FACTOR = 0.6
PAUSED_FACTOR = 0.3
FEATURE_USE_SHARE = 0.35  # of active days
ADD_ONS_A_MONTH = 0.05


def month_activity(
    state: State, mood: Mood, presence: Presence, rng: np.random.Generator
) -> tuple[pa.Table, BoolArray]:
    """Return the month's events, and who was active at all."""
    at_day, day = _active_days(state, mood, presence, rng)
    served = presence.is_present & (mood.engagement > -3.0)
    view_luck, add_on_luck = rng.random((2, state.customers))
    views = small_counts((0.04 + 1.5 * mood.price_shock) * served, view_luck)
    exports = (mood.packing_up >= 0.8) * presence.is_present * rng.integers(1, 3, state.customers)
    add_ons = small_counts(ADD_ONS_A_MONTH * served, add_on_luck)
    uses = rng.random(len(at_day)) < FEATURE_USE_SHARE
    visits_on = on_hours(state, day, rng)
    at_view, at_export, at_add_on = (repeated(counts)[0] for counts in (views, exports, add_ons))
    parts = [
        _events(state, economy.LOGIN_SESSION, at_day, visits_on, 1 + rng.poisson(0.6, len(at_day))),
        _events(
            state, economy.FEATURE_USE, at_day[uses], visits_on[uses], 1 + rng.poisson(3.0, int(uses.sum()))
        ),
        _events(state, economy.PRICING_PAGE_VIEW, at_view, moments(state, presence, at_view, rng)),
        _events(state, economy.DATA_EXPORT, at_export, moments(state, presence, at_export, rng)),
        _events(
            state,
            economy.ADD_ON_PURCHASE,
            at_add_on,
            moments(state, presence, at_add_on, rng),
            amount_cents=500 * rng.integers(1, 13, len(at_add_on)),
        ),
    ]
    was_active = np.zeros(state.customers, dtype=bool)
    for at in (at_day, at_view, at_export, at_add_on):
        was_active[at] = True
    return pa.concat_tables(parts), was_active


def _active_days(
    state: State, mood: Mood, presence: Presence, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Return customer position and day offset of every active day, ordered by customer and day."""
    offsets = np.arange(state.days)
    weekday = (state.starts_on.astype(np.int64) + offsets + 3) % 7  # 1970-01-01 was a Thursday; 0 = Monday
    factor = np.where(weekday >= 5, WEEKEND_FACTOR, 1.0)
    paused = np.where(state.account.is_paused, PAUSED_FACTOR, 1.0)
    a_day = state.traits.usual_active_days * np.exp(mood.engagement) * paused / 30.0
    probability = np.minimum(a_day[:, None] * factor / factor.mean(), 0.97)
    is_active = rng.random((state.customers, state.days), dtype=np.float32) < probability
    is_active &= (presence.starts[:, None] <= offsets) & (offsets < presence.ends[:, None])
    at, day = np.nonzero(is_active)
    return at, day


def _events(
    state: State,
    activity_type: int,
    at: IntArray,
    occurred_at: DayArray,
    quantity: IntArray | None = None,
    amount_cents: IntArray | None = None,
) -> pa.Table:
    codes: CodeArray = np.full(len(at), activity_type, dtype=np.int8)
    return records.table(
        "activity",
        customer_id=state.traits.customer_id[at],
        occurred_at=records.times(occurred_at),
        activity_type=records.text(codes, economy.ACTIVITY_TYPES),
        quantity=np.ones(len(at), dtype=np.int64) if quantity is None else quantity,
        amount=pa.nulls(len(at), records.MONEY) if amount_cents is None else records.money(amount_cents),
    )
