"""The state of the world at the start of a month: arrays with one element per customer."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from demo_world.economy import BoolArray, CodeArray, DayArray, FloatArray, IntArray

NEVER = np.datetime64("NaT", "D")


@dataclass(frozen=True)
class Traits:
    """Attributes that never change; the last five are hidden from the business."""

    customer_id: IntArray
    signed_up_on: DayArray
    region: CodeArray
    acquisition_channel: CodeArray
    segment: CodeArray
    payment_method: CodeArray
    consents_to_email: BoolArray
    consents_to_phone: BoolArray
    consents_to_push: BoolArray
    usual_active_days: FloatArray  # a month, when no driver is active
    restlessness: FloatArray  # log-odds of leaving that no record explains
    receptiveness: FloatArray  # factor on the effects of offers
    payment_risk: FloatArray  # factor on how often an invoice fails
    support_need: FloatArray  # tickets a month


@dataclass(frozen=True)
class Account:
    """The current subscription and the counters that number the records."""

    is_subscribed: BoolArray
    plan: CodeArray
    pending_plan: CodeArray  # taken over on the next billing day; −1 = none
    is_annual: BoolArray
    fee_cents: IntArray  # a month, also for annual billing
    billing_day: IntArray  # 1–28
    commitment_ends_on: DayArray  # NaT = none
    fee_changed_on: DayArray
    left_on: DayArray  # NaT = never
    discounted_invoices: IntArray  # still to come
    is_paused: BoolArray  # the next monthly invoice is waived
    last_contacted_on: DayArray
    subscription_number: IntArray
    payment_number: IntArray
    ticket_number: IntArray
    contact_number: IntArray


@dataclass(frozen=True)
class ChurnDrivers:
    """Why a customer would leave; hidden, but every change shows in the records."""

    engagement: FloatArray  # log of activity relative to usual_active_days
    accustomed_engagement: FloatArray  # its slow average: the customer's usual level
    is_declining: BoolArray
    silent_months: IntArray
    price_shock: FloatArray
    support_pain: FloatArray
    payment_failing: FloatArray
    exit_intent: FloatArray
    contact_effect: FloatArray  # log-odds left over from earlier contacts


@dataclass(frozen=True)
class State:
    """The world at the start of ``month``; customers are ordered by customer_id without gaps."""

    month: np.datetime64  # unit M
    traits: Traits
    account: Account
    drivers: ChurnDrivers

    @property
    def starts_on(self) -> np.datetime64:
        """First day of the month to come."""
        return self.month.astype("M8[D]")

    @property
    def days(self) -> int:
        """Length of the month to come, in days."""
        return int(((self.month + 1).astype("M8[D]") - self.starts_on).astype(int))

    @property
    def customers(self) -> int:
        """Number of customers that ever signed up."""
        return len(self.traits.customer_id)


Part = TypeVar("Part", Traits, Account, ChurnDrivers)


def joined(first: Part, second: Part) -> Part:
    """Return the arrays of two groups of customers one after the other."""
    columns = {
        field.name: np.concatenate([getattr(first, field.name), getattr(second, field.name)])
        for field in dataclasses.fields(first)
    }
    return type(first)(**columns)


def untroubled_drivers(engagement: FloatArray) -> ChurnDrivers:
    """Return churn drivers that are all 0, at a given engagement (n,)."""
    count = len(engagement)

    def zeros() -> FloatArray:
        return np.zeros(count)

    return ChurnDrivers(
        engagement=engagement,
        accustomed_engagement=engagement.copy(),
        is_declining=np.zeros(count, dtype=bool),
        silent_months=np.zeros(count, dtype=np.int64),
        price_shock=zeros(),
        support_pain=zeros(),
        payment_failing=zeros(),
        exit_intent=zeros(),
        contact_effect=zeros(),
    )
