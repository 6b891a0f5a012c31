"""New customers: the base that is subscribed when history starts, and sign-ups of later months."""

from __future__ import annotations

import dataclasses

import numpy as np

from demo_world import economy
from demo_world.churn_drivers import SILENT_ENGAGEMENT
from demo_world.economy import CodeArray, DayArray
from demo_world.state import NEVER, Account, ChurnDrivers, State, Traits, joined, untroubled_drivers
from demo_world.subscriptions import ANNUAL_SHARE, COMMITTED_MONTHLY_SHARE

FIRST_CUSTOMER_ID = 100_000_001
IDS_PER_CHUNK = 100_000  # room for customers who sign up after the generated history
BASE_TENURE_MONTHS = 20.0  # mean tenure of the base
BASE_LONGEST_MONTHS = 72


def initial_base(month: np.datetime64, count: int, first_customer_id: int, rng: np.random.Generator) -> State:
    """Return the world at the start of ``month`` with ``count`` customers subscribed for a while already."""
    tenure = 1 + np.minimum(rng.exponential(BASE_TENURE_MONTHS, count), BASE_LONGEST_MONTHS).astype(np.int64)
    signed_up_month = month - tenure.astype("m8[M]")
    billing_day = rng.integers(1, 29, count)
    signed_up_on = signed_up_month.astype("M8[D]") + (billing_day - 1).astype("m8[D]")
    traits = _traits(signed_up_on, first_customer_id, rng)
    # Long tenure selects for low restlessness.
    traits = dataclasses.replace(traits, restlessness=traits.restlessness - 0.012 * np.minimum(tenure, 24))
    account, drivers = _blank_account(traits, rng), _base_drivers(count, rng)
    is_annual = rng.random(count) < ANNUAL_SHARE
    binds = is_annual | ((tenure < 12) & (rng.random(count) < COMMITTED_MONTHLY_SHARE))
    months_to_anniversary = 12 - tenure % 12
    months_to_anniversary = np.where(tenure % 12 == 0, 0, months_to_anniversary)
    ends_month = month + months_to_anniversary.astype("m8[M]")
    ends_on = ends_month.astype("M8[D]") + (billing_day - 1).astype("m8[D]")
    list_share = rng.uniform(0.8, 1.0, count)
    fee_age = np.minimum(tenure, rng.integers(1, 16, count))
    account = dataclasses.replace(
        account,
        is_subscribed=np.ones(count, dtype=bool),
        is_annual=is_annual,
        billing_day=billing_day,
        fee_cents=economy.half_units(economy.list_fee(account.plan, is_annual) * list_share),
        fee_changed_on=(month - fee_age.astype("m8[M]")).astype("M8[D]") + (billing_day - 1).astype("m8[D]"),
        commitment_ends_on=np.where(binds, ends_on, NEVER),
        subscription_number=np.ones(count, dtype=np.int64),
    )
    return State(month, traits, account, drivers)


def base_started_on(state: State) -> DayArray:
    """Return when the base's current subscription periods started.

    A yearly one starts a year before its commitment ends, a monthly one when its fee last changed.
    """
    year_before = (state.account.commitment_ends_on.astype("M8[M]") - 12).astype("M8[D]")
    year_before = year_before + (state.account.billing_day - 1).astype("m8[D]")
    return np.where(state.account.is_annual, year_before, state.account.fee_changed_on)


def with_sign_ups(state: State, count: int, rng: np.random.Generator) -> State:
    """Return the state with ``count`` more customers, signing up on days 1–28 of the month to come."""
    offset = np.sort(rng.integers(0, 28, count))
    first_customer_id = int(state.traits.customer_id[-1]) + 1 if state.customers else FIRST_CUSTOMER_ID
    traits = _traits(state.starts_on + offset.astype("m8[D]"), first_customer_id, rng)
    account, drivers = _blank_account(traits, rng), _sign_up_drivers(count, rng)
    return State(
        state.month,
        joined(state.traits, traits),
        joined(state.account, account),
        joined(state.drivers, drivers),
    )


def _traits(signed_up_on: DayArray, first_customer_id: int, rng: np.random.Generator) -> Traits:
    count = len(signed_up_on)

    def code(shares: list[float]) -> CodeArray:
        return rng.choice(len(shares), count, p=shares).astype(np.int8)

    return Traits(
        customer_id=first_customer_id + np.arange(count),
        signed_up_on=signed_up_on,
        region=code([0.3, 0.25, 0.25, 0.2]),
        acquisition_channel=code([0.4, 0.3, 0.2, 0.1]),
        segment=code([0.55, 0.3, 0.15]),
        payment_method=code([0.6, 0.3, 0.1]),
        consents_to_email=rng.random(count) < 0.88,
        consents_to_phone=rng.random(count) < 0.6,
        consents_to_push=rng.random(count) < 0.5,
        usual_active_days=np.clip(rng.lognormal(1.9, 0.6, count), 1.5, 26.0),
        restlessness=rng.normal(0.0, 0.3, count),
        receptiveness=rng.lognormal(-0.04, 0.3, count),
        payment_risk=rng.lognormal(-0.2, 0.8, count),
        support_need=rng.gamma(1.5, 0.09, count),
    )


def _blank_account(traits: Traits, rng: np.random.Generator) -> Account:
    """Return accounts without a subscription; larger segments want larger plans."""
    count = len(traits.customer_id)
    draw = rng.random(count) - 0.15 * traits.segment
    plan = np.where(draw < 0.1, 2, np.where(draw < 0.55, 1, 0)).astype(np.int8)
    return Account(
        is_subscribed=np.zeros(count, dtype=bool),
        plan=plan,
        pending_plan=np.full(count, -1, dtype=np.int8),
        is_annual=np.zeros(count, dtype=bool),
        fee_cents=np.zeros(count, dtype=np.int64),
        billing_day=np.ones(count, dtype=np.int64),
        commitment_ends_on=np.full(count, NEVER),
        fee_changed_on=np.full(count, NEVER),
        left_on=np.full(count, NEVER),
        discounted_invoices=np.zeros(count, dtype=np.int64),
        is_paused=np.zeros(count, dtype=bool),
        last_contacted_on=np.full(count, NEVER),
        subscription_number=np.zeros(count, dtype=np.int64),
        payment_number=np.zeros(count, dtype=np.int64),
        ticket_number=np.zeros(count, dtype=np.int64),
        contact_number=np.zeros(count, dtype=np.int64),
    )


def _sign_up_drivers(count: int, rng: np.random.Generator) -> ChurnDrivers:
    return untroubled_drivers(rng.normal(0.0, 0.2, count))


def _base_drivers(count: int, rng: np.random.Generator) -> ChurnDrivers:
    """Return drivers as in a business of some years: most are low, some customers decline, some are dormant."""
    drivers = _sign_up_drivers(count, rng)
    is_silent, is_declining, is_shocked, intends_exit, is_failing, is_pained = rng.random(
        (6, count)
    ) < np.array([[0.05], [0.08], [0.2], [0.04], [0.05], [0.08]])
    engagement = drivers.engagement - is_declining * rng.uniform(0.3, 2.0, count)
    return dataclasses.replace(
        drivers,
        engagement=np.where(is_silent, SILENT_ENGAGEMENT, engagement),
        accustomed_engagement=np.where(is_silent, SILENT_ENGAGEMENT + 0.5, drivers.accustomed_engagement),
        is_declining=is_declining & ~is_silent,
        silent_months=np.where(is_silent, rng.integers(1, 8, count), 0),
        price_shock=is_shocked * rng.uniform(0.2, 1.5, count),
        exit_intent=intends_exit * rng.uniform(0.8, 1.6, count),
        payment_failing=is_failing * rng.uniform(0.5, 1.9, count),
        support_pain=is_pained * rng.uniform(0.3, 1.5, count),
    )
