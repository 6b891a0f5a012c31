"""Who is subscribed on which days of the month: leaving, joining, resuming."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo_world import causes, economy
from demo_world.contacts import Contacts
from demo_world.economy import BoolArray, CodeArray, IntArray
from demo_world.state import State

RESUME_PROBABILITY = 0.025  # a month, in the first eight months after leaving
RESUME_AFTER_DAYS = 40  # longer than the horizon: who leaves is a churner
RESUME_WITHIN_DAYS = 250
NOT_CONTACTED = 10**6


@dataclass(frozen=True)
class Presence:
    """Days of the month (offsets from its first) with a subscription: starts ≤ day < ends."""

    starts: IntArray
    ends: IntArray
    leaves: BoolArray
    opens: BoolArray  # joins or resumes within the month
    contact_offer: CodeArray  # of contacts really made; −1 = none
    is_contacted: BoolArray  # or assigned as a control
    contact_offset: IntArray

    @property
    def is_present(self) -> BoolArray:
        """Whether the customer is subscribed on any day of the month."""
        return np.asarray(self.ends > self.starts)

    def includes(self, offset: IntArray) -> BoolArray:
        """Whether the customer is subscribed on the day at the offset."""
        return np.asarray((self.starts <= offset) & (offset < self.ends))


def month_presence(state: State, contacts: Contacts, rng: np.random.Generator) -> Presence:
    """Draw who leaves when, under the month's contacts, and who joins or resumes.

    Whoever leaves before the day of the planned contact is not contacted. A yearly subscription whose
    commitment ends this month ends on that day or goes on; any other may end on any day.
    """
    count, days = state.customers, state.days
    offer = np.full(count, economy.NO_ACTION, dtype=np.int8)
    offer[contacts.position] = contacts.offer
    contact_offset = np.full(count, NOT_CONTACTED, dtype=np.int64)
    contact_offset[contacts.position] = contacts.day_offset
    subscribed = state.account.is_subscribed
    leaves, left_offset = _leaving(state, offer, contact_offset, rng)
    leaves &= subscribed
    is_contacted = subscribed & (contact_offset < np.where(leaves, left_offset + 1, days))
    left_offset = np.where(is_contacted & (left_offset == contact_offset), left_offset + 1, left_offset)
    opens, opened_offset = _opening(state, rng)
    return Presence(
        starts=np.where(subscribed, 0, np.where(opens, opened_offset, days)),
        ends=np.where(leaves, left_offset, days),
        leaves=leaves,
        opens=opens,
        contact_offer=np.where(is_contacted, offer, economy.NO_ACTION).astype(np.int8),
        is_contacted=is_contacted,
        contact_offset=contact_offset,
    )


def _leaving(
    state: State, offer: CodeArray, contact_offset: IntArray, rng: np.random.Generator
) -> tuple[BoolArray, IntArray]:
    """Return who leaves in the month and the offset of the first day without service."""
    alone = np.full(state.customers, economy.NO_ACTION, dtype=np.int8)
    hazard_alone, hazard_contacted = (
        -np.log1p(-causes.churn_probability(state, each)) / economy.HORIZON_DAYS for each in (alone, offer)
    )
    renewal_offset = state.account.billing_day - 1
    decides_on_renewal = state.account.is_annual & causes.renews_this_month(state)
    in_time = ~decides_on_renewal | (contact_offset < renewal_offset)
    switch = np.where(in_time, contact_offset, NOT_CONTACTED)
    threshold = rng.exponential(size=state.customers)
    before = hazard_alone * switch
    time = np.where(
        threshold < before, threshold / hazard_alone, switch + (threshold - before) / hazard_contacted
    )
    leaves = time < np.where(decides_on_renewal, economy.HORIZON_DAYS, state.days)
    left_offset = np.floor(np.minimum(time, state.days)).astype(np.int64)
    return leaves, np.where(decides_on_renewal, renewal_offset, left_offset)


def _opening(state: State, rng: np.random.Generator) -> tuple[BoolArray, IntArray]:
    """Return who joins (signed up this month) or resumes, and the offset of the first day of service."""
    account = state.account
    joins = state.traits.signed_up_on >= state.starts_on
    join_offset = (state.traits.signed_up_on - state.starts_on).astype(np.int64)
    resume_offset = rng.integers(0, 28, state.customers)
    days_away = (state.starts_on - account.left_on).astype(np.int64) + resume_offset
    is_away = ~account.is_subscribed & ~np.isnat(account.left_on)
    in_window = is_away & (days_away >= RESUME_AFTER_DAYS) & (days_away <= RESUME_WITHIN_DAYS)
    resumes = in_window & (rng.random(state.customers) < RESUME_PROBABILITY)
    return joins | resumes, np.where(joins, join_offset, resume_offset)
