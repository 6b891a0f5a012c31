"""What happens to subscriptions on their billing days: renewals, price rises, plan changes, new periods."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from demo_world import causes, economy
from demo_world.economy import BoolArray, CodeArray, FloatArray, IntArray
from demo_world.presence import Presence
from demo_world.state import NEVER, Account, State

FEE_STANDS_DAYS = 365  # a fee is not raised again before
RISE_PROBABILITY = 0.3  # a month, once it may be raised
RISE_AT_RENEWAL_PROBABILITY = 0.7
RISE_RANGE = (0.04, 0.18)  # of the fee
OWN_PLAN_CHANGE_PROBABILITY = 0.006
COMMITTED_MONTHLY_SHARE = 0.15  # of new monthly subscriptions bind themselves for a year
ANNUAL_SHARE = 0.2


@dataclass(frozen=True)
class BillingDay:
    """What the billing day of the month brings for each customer."""

    offset: IntArray  # days after the month's first
    is_served: BoolArray  # subscribed on that day
    renews: BoolArray  # for another year
    opens_period: BoolArray  # a new subscription period starts (also renewals, price rises, plan changes)
    price_rise: FloatArray  # share of the old fee, 0 = none


def billing_day(state: State, presence: Presence, rng: np.random.Generator) -> tuple[Account, BillingDay]:
    """Apply the billing day; return the accounts after it and what it brought."""
    account = state.account
    offset = np.where(presence.opens, presence.starts, account.billing_day - 1)
    is_served = presence.includes(offset)
    continues = is_served & ~presence.opens
    renews = continues & account.is_annual & causes.renews_this_month(state)
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
    may_rise = continues & ~account.is_annual & ~is_bound & (fee_age >= FEE_STANDS_DAYS)
    raised = (may_rise & (draw < RISE_PROBABILITY)) | (renews & (draw < RISE_AT_RENEWAL_PROBABILITY))
    return np.where(raised, size, 0.0)


def _next_plan(state: State, continues: BoolArray, rng: np.random.Generator) -> CodeArray:
    """Return the plan after the billing day: accepted changes, and moves of the customer's own."""
    account, shock = state.account, state.mood.price_shock
    moves = rng.random(state.customers) < OWN_PLAN_CHANGE_PROBABILITY * (1 + 2 * shock)
    step = np.where((shock > 0.5) | (rng.random(state.customers) < 0.4), -1, 1)
    moved = np.clip(account.plan + np.where(moves, step, 0), 0, len(economy.PLANS) - 1)
    plan = np.where(account.pending_plan >= 0, account.pending_plan, moved)
    return np.where(continues, plan, account.plan).astype(np.int8)


def _opened(state: State, presence: Presence, offset: IntArray, rng: np.random.Generator) -> Account:
    """Return the accounts with leavers gone and subscriptions opened for those who join or resume."""
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
