"""Subscriptions within a month: leaving, joining and resuming; renewals, price rises and plan changes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from demo_world import economy, probabilities
from demo_world.contacts import Contacts
from demo_world.economy import BoolArray, CodeArray, FloatArray, IntArray
from demo_world.state import NEVER, Account, State

RESUME_PROBABILITY = 0.025  # a month, in the first eight months after leaving
RESUME_AFTER_DAYS = 40  # longer than the horizon: every leaver counts as churned
RESUME_WITHIN_DAYS = 250
NOT_CONTACTED = 10**6

FEE_FIXED_DAYS = 365  # days before a fee may be raised again
RISE_PROBABILITY = 0.3  # a month, once it may be raised
RISE_AT_RENEWAL_PROBABILITY = 0.7
RISE_RANGE = (0.04, 0.18)  # of the fee
OWN_PLAN_CHANGE_PROBABILITY = 0.006
COMMITTED_MONTHLY_SHARE = 0.15  # of new monthly subscriptions with a commitment of a year
ANNUAL_SHARE = 0.2


@dataclass(frozen=True)
class Presence:
    """Days of the month (offsets from its first) with a subscription: starts ≤ day < ends."""

    starts: IntArray
    ends: IntArray
    leaves: BoolArray
    opens: BoolArray  # joins or resumes within the month
    contact_offer: CodeArray  # of contacts that took place; −1 = none
    is_contacted: BoolArray  # or assigned as a control
    contact_offset: IntArray

    @property
    def is_present(self) -> BoolArray:
        """Whether the customer is subscribed on any day of the month."""
        return np.asarray(self.ends > self.starts)

    def includes(self, offset: IntArray) -> BoolArray:
        """Whether the customer is subscribed on the day at the offset."""
        return np.asarray((self.starts <= offset) & (offset < self.ends))


def month_presence(
    state: State, contacts: Contacts, rng: np.random.Generator, *, may_leave: bool = True
) -> Presence:
    """Draw leaving under the month's contacts, joining and resuming.

    A customer who leaves before the day of the planned contact is not contacted. A yearly subscription whose
    commitment ends this month ends on that day or goes on; any other may end on any day.
    """
    count, days = state.customers, state.days
    offer = np.full(count, economy.NO_ACTION, dtype=np.int8)
    offer[contacts.position] = contacts.offer
    contact_offset = np.full(count, NOT_CONTACTED, dtype=np.int64)
    contact_offset[contacts.position] = contacts.day_offset
    subscribed = state.account.is_subscribed
    leaves, left_offset = _leaving(state, offer, contact_offset, rng)
    leaves &= subscribed & may_leave
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
    """Return whether each customer leaves in the month, and the offset of the first day without service."""
    alone = np.full(state.customers, economy.NO_ACTION, dtype=np.int8)
    hazard_alone, hazard_contacted = (
        -np.log1p(-probabilities.churn_probability(state, each)) / economy.HORIZON_DAYS
        for each in (alone, offer)
    )
    renewal_offset = state.account.billing_day - 1
    decides_on_renewal = state.account.is_annual & probabilities.renews_this_month(state)
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
    """Return whether each customer joins (signed up this month) or resumes, and the first day of service."""
    account = state.account
    joins = state.traits.signed_up_on >= state.starts_on
    join_offset = (state.traits.signed_up_on - state.starts_on).astype(np.int64)
    resume_offset = rng.integers(0, 28, state.customers)
    days_away = (state.starts_on - account.left_on).astype(np.int64) + resume_offset
    is_away = ~account.is_subscribed & ~np.isnat(account.left_on)
    in_window = is_away & (days_away >= RESUME_AFTER_DAYS) & (days_away <= RESUME_WITHIN_DAYS)
    resumes = in_window & (rng.random(state.customers) < RESUME_PROBABILITY)
    return joins | resumes, np.where(joins, join_offset, resume_offset)


@dataclass(frozen=True)
class BillingDay:
    """What happens to each customer on the billing day of the month."""

    offset: IntArray  # days after the month's first
    is_served: BoolArray  # subscribed on that day
    renews: BoolArray  # for another year
    opens_period: BoolArray  # a new subscription period starts (also renewals, price rises, plan changes)
    price_rise: FloatArray  # share of the old fee, 0 = none


def billing_day(state: State, presence: Presence, rng: np.random.Generator) -> tuple[Account, BillingDay]:
    """Apply the billing day; return the accounts after it and what happened."""
    account = state.account
    offset = np.where(presence.opens, presence.starts, account.billing_day - 1)
    is_served = presence.includes(offset)
    continues = is_served & ~presence.opens
    renews = continues & account.is_annual & probabilities.renews_this_month(state)
    rise = _price_rise(state, continues, renews, rng)
    plan = _next_plan(state, continues, rng)
    changes_plan = continues & (plan != account.plan)
    opens_period = presence.opens | renews | (rise > 0) | changes_plan
    after = _opened(state, presence, offset, rng)
    fee = np.where(changes_plan, economy.list_fee(plan, after.is_annual), after.fee_cents)
    rise = np.where(changes_plan, 0.0, rise)
    fee = np.where(rise > 0, economy.half_units(after.fee_cents * (1 + rise)), fee)
    on_day = state.starts_on + offset.astype("m8[D]")
    next_year = (state.month + 12).astype("M8[D]") + offset.astype("m8[D]")
    after = dataclasses.replace(
        after,
        plan=np.where(changes_plan, plan, after.plan),
        pending_plan=np.where(continues, -1, after.pending_plan).astype(np.int8),
        fee_cents=fee,
        fee_changed_on=np.where(opens_period & (fee != account.fee_cents), on_day, after.fee_changed_on),
        commitment_ends_on=np.where(renews, next_year, after.commitment_ends_on),
        subscription_number=after.subscription_number + opens_period,
    )
    return after, BillingDay(offset, is_served, renews, opens_period, rise)


def _price_rise(
    state: State, continues: BoolArray, renews: BoolArray, rng: np.random.Generator
) -> FloatArray:
    account = state.account
    draw, size = rng.random(state.customers), rng.uniform(*RISE_RANGE, state.customers)
    fee_age = (state.starts_on - account.fee_changed_on).astype(np.int64)
    is_bound = account.commitment_ends_on >= state.starts_on
    may_rise = continues & ~account.is_annual & ~is_bound & (fee_age >= FEE_FIXED_DAYS)
    raised = (may_rise & (draw < RISE_PROBABILITY)) | (renews & (draw < RISE_AT_RENEWAL_PROBABILITY))
    return np.where(raised, size, 0.0)


def _next_plan(state: State, continues: BoolArray, rng: np.random.Generator) -> CodeArray:
    """Return the plan after the billing day: accepted offers, and changes on the customer's own initiative."""
    account, shock = state.account, state.drivers.price_shock
    moves = rng.random(state.customers) < OWN_PLAN_CHANGE_PROBABILITY * (1 + 2 * shock)
    step = np.where((shock > 0.5) | (rng.random(state.customers) < 0.4), -1, 1)
    moved = np.clip(account.plan + np.where(moves, step, 0), 0, len(economy.PLANS) - 1)
    plan = np.where(account.pending_plan >= 0, account.pending_plan, moved)
    return np.where(continues, plan, account.plan).astype(np.int8)


def _opened(state: State, presence: Presence, offset: IntArray, rng: np.random.Generator) -> Account:
    """Return the accounts with the month's endings, and with subscriptions that open or resume."""
    account, opens, count = state.account, presence.opens, state.customers
    is_new = opens & (account.subscription_number == 0)
    is_annual = np.where(opens, is_new & (rng.random(count) < ANNUAL_SHARE), account.is_annual)
    binds = is_annual | (rng.random(count) < COMMITTED_MONTHLY_SHARE)
    next_year = (state.month + 12).astype("M8[D]") + offset.astype("m8[D]")
    welcome_share = rng.uniform(0.9, 1.0, count)
    opening_fee = economy.half_units(economy.list_fee(account.plan, is_annual) * welcome_share)
    left_on = state.starts_on + presence.ends.astype("m8[D]")
    return dataclasses.replace(
        account,
        is_subscribed=(account.is_subscribed & ~presence.leaves) | opens,
        is_annual=is_annual,
        fee_cents=np.where(opens, opening_fee, account.fee_cents),
        fee_changed_on=np.where(opens, state.starts_on + offset.astype("m8[D]"), account.fee_changed_on),
        billing_day=np.where(opens, offset + 1, account.billing_day),
        commitment_ends_on=np.where(opens, np.where(binds, next_year, NEVER), account.commitment_ends_on),
        left_on=np.where(presence.leaves, left_on, np.where(opens, NEVER, account.left_on)),
        discounted_invoices=np.where(opens, 0, account.discounted_invoices),
        is_paused=account.is_paused & ~opens,
    )
