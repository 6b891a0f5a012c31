"""One month of the world: a pure function of the state, the month's contacts and a random generator."""

from __future__ import annotations

import dataclasses

import numpy as np

from demo_world import churn_drivers, economy, event_records, records
from demo_world.contacts import Contacts
from demo_world.economy import BoolArray, IntArray
from demo_world.state import Account, ChurnDrivers, State
from demo_world.subscriptions import Presence, billing_day, month_presence


def step_month(
    state: State, contacts: Contacts, rng: np.random.Generator, *, may_leave: bool = True
) -> tuple[State, records.Events]:
    """Simulate one month.

    Parameters
    ----------
    state : State
        The world at the start of the month; not changed. Customers who signed up within the month join.
    contacts : Contacts
        What the business plans; a customer who leaves before the planned day is not contacted.
    rng : numpy.random.Generator
        Each part of the month draws from its own child generator and for every customer, so that two months
        which differ in their contacts only differ by the effects of these contacts.
    may_leave : bool
        False keeps every customer, to follow what would become of those who would have left.

    Returns
    -------
    tuple of State and mapping of str to pyarrow.Table
        The world a month later, and the month's records, also of what becomes known later (a ticket resolved,
        an invoice paid next month): :func:`demo_world.records.observed` hides that.
    """
    leave, bill, drift, pay, support, act, accept, answer, export = rng.spawn(9)
    presence = month_presence(state, contacts, leave, may_leave=may_leave)
    account, billing = billing_day(state, presence, bill)
    drivers = churn_drivers.drifted(state, presence, billing, drift)
    invoices, is_billed, is_late, is_unpaid = event_records.invoices(state, account, presence, billing, pay)
    drivers = churn_drivers.after_payments(drivers, billing, is_late, is_unpaid)
    tickets, opened, pain = event_records.tickets(state, presence, support)
    drivers = dataclasses.replace(drivers, support_pain=drivers.support_pain + pain)
    accepts = churn_drivers.accepts_offer(state, presence.contact_offer, accept) & presence.is_contacted
    contact_table = event_records.contact_records(state, presence, contacts, accepts, answer)
    drivers = churn_drivers.after_contacts(drivers, state, presence, accepts)
    next_state = State(state.month + 1, state.traits, account, drivers)
    drivers = dataclasses.replace(
        drivers, exit_intent=churn_drivers.exit_intent(next_state, export) * account.is_subscribed
    )
    activity, was_active = event_records.month_activity(state, drivers, presence, act)
    periods = np.flatnonzero(billing.opens_period)
    joined = np.flatnonzero(state.traits.signed_up_on >= state.starts_on)
    started_on = state.starts_on + billing.offset.astype("m8[D]")
    events = {
        "customers": event_records.customer_records(state, joined),
        "subscriptions": event_records.opened_periods(state, account, periods, started_on),
        "subscription_endings": event_records.ended_periods(state, state.account, presence, billing),
        "activity": activity,
        "payments": invoices,
        "support_tickets": tickets,
        "retention_contacts": contact_table,
    }
    account = _counted(state, account, presence, is_billed, opened)
    account = _granted(account, presence, accepts, is_billed)
    return State(
        state.month + 1, state.traits, account, _silence_counted(drivers, presence, was_active)
    ), events


def _counted(
    state: State, account: Account, presence: Presence, is_billed: BoolArray, opened_tickets: IntArray
) -> Account:
    """Return the accounts with their record numbers and last contact brought up to date."""
    is_touched = presence.contact_offer >= 0
    contacted_on = state.starts_on + np.where(is_touched, presence.contact_offset, 0).astype("m8[D]")
    return dataclasses.replace(
        account,
        payment_number=account.payment_number + is_billed,
        ticket_number=account.ticket_number + opened_tickets,
        contact_number=account.contact_number + presence.is_contacted,
        last_contacted_on=np.where(is_touched, contacted_on, account.last_contacted_on),
    )


def _granted(account: Account, presence: Presence, accepts: BoolArray, is_billed: BoolArray) -> Account:
    """Return the accounts with this month's discounts used and accepted offers in force from the next month."""
    offer = presence.contact_offer
    used = np.where(account.is_annual, economy.DISCOUNT_INVOICES, 1) * is_billed
    left = np.maximum(account.discounted_invoices - used, 0)
    takes_smaller, smaller = accepts & (offer == economy.PLAN_CHANGE), np.maximum(account.plan - 1, 0)
    return dataclasses.replace(
        account,
        discounted_invoices=np.where(accepts & (offer == economy.DISCOUNT), economy.DISCOUNT_INVOICES, left),
        is_paused=accepts & (offer == economy.PAUSE),
        pending_plan=np.where(takes_smaller, smaller, account.pending_plan).astype(np.int8),
    )


def _silence_counted(drivers: ChurnDrivers, presence: Presence, was_active: BoolArray) -> ChurnDrivers:
    """Return the drivers with the months without activity counted."""
    silent_months = np.where(was_active | ~presence.is_present, 0, drivers.silent_months + 1)
    return dataclasses.replace(drivers, silent_months=silent_months)
