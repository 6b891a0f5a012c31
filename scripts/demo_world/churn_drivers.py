"""How the churn drivers change from month to month."""

from __future__ import annotations

import dataclasses

import numpy as np

from demo_world import economy, probabilities
from demo_world.economy import BoolArray, CodeArray, FloatArray
from demo_world.state import ChurnDrivers, State
from demo_world.subscriptions import BillingDay, Presence

DECLINE_STARTS, DECLINE_ENDS = 0.03, 0.25  # probability a month
SUDDEN_SILENCE = 0.014
SILENT_ENGAGEMENT = -4.2  # log of activity relative to usual: hardly any
STAYS_SILENT = 0.95
COMPETITOR_OFFER = 0.02  # probability a month of seeing a cheaper offer elsewhere
RISE_FOR_UNIT_SHOCK = 0.08  # a price rise of 8 % is a shock of 1
LATE_PAYMENT, UNPAID_INVOICE = 1.0, 1.9
FALSE_EXPORT = 0.004  # probability a month of a data export without exit intent


def drifted(state: State, presence: Presence, billing: BillingDay, rng: np.random.Generator) -> ChurnDrivers:
    """Return the drivers during the month: engagement drifts, price rises add up, earlier trouble fades."""
    drivers, count = state.drivers, state.customers
    starts, ends, falls_silent = rng.random((3, count))
    is_declining = np.where(drivers.is_declining, ends > DECLINE_ENDS, starts < DECLINE_STARTS)
    falling = drivers.engagement - rng.uniform(0.25, 0.7, count)
    steady = 0.8 * drivers.engagement + rng.normal(0.0, 0.15, count)
    engagement = np.where(is_declining, falling, steady)
    is_silent = drivers.engagement < -3.0
    stays_silent = is_silent & (rng.random(count) < STAYS_SILENT)
    goes_silent = stays_silent | (falls_silent < SUDDEN_SILENCE)
    engagement = np.where(goes_silent, SILENT_ENGAGEMENT, np.where(is_silent, -0.5, engagement))
    engagement = np.where(presence.opens, rng.normal(0.0, 0.2, count), np.clip(engagement, -4.5, 1.0))
    accustomed = 0.72 * drivers.accustomed_engagement + 0.28 * engagement
    competitor = (rng.random(count) < COMPETITOR_OFFER) * rng.uniform(0.5, 1.3, count)
    shock = 0.6 * drivers.price_shock + billing.price_rise / RISE_FOR_UNIT_SHOCK + competitor
    kept = ~presence.opens
    return dataclasses.replace(
        drivers,
        engagement=engagement,
        accustomed_engagement=np.where(presence.opens, engagement, accustomed),
        is_declining=is_declining & ~goes_silent & kept,
        price_shock=shock * kept,
        support_pain=0.55 * drivers.support_pain * kept,
        exit_intent=0.25 * drivers.exit_intent * kept,
        contact_effect=economy.EFFECT_CARRIED * drivers.contact_effect * kept,
    )


def after_payments(
    drivers: ChurnDrivers, billing: BillingDay, is_late: BoolArray, is_unpaid: BoolArray
) -> ChurnDrivers:
    """Return the drivers after the month's invoices: payment trouble grows, or is settled."""
    trouble = np.where(is_unpaid, UNPAID_INVOICE, np.where(is_late, LATE_PAYMENT, 0.0))
    fading = np.where(billing.is_served, 0.4, 0.6) * drivers.payment_failing
    return dataclasses.replace(drivers, payment_failing=np.maximum(trouble, fading))


def after_contacts(
    drivers: ChurnDrivers, state: State, presence: Presence, accepts: BoolArray
) -> ChurnDrivers:
    """Return the drivers after the month's contacts: part of the effect stays, acceptance halves the driver."""
    offer = presence.contact_offer
    carried = economy.EFFECT_CARRIED * probabilities.offer_effect(state, offer)

    def relieved(strength: FloatArray, *offers: int) -> FloatArray:
        return np.where(accepts & np.isin(offer, offers), 0.5 * strength, strength)

    revived = accepts & np.isin(offer, (economy.NUDGE_EMAIL, economy.PAUSE))
    return dataclasses.replace(
        drivers,
        price_shock=relieved(drivers.price_shock, economy.DISCOUNT, economy.PLAN_CHANGE),
        support_pain=relieved(drivers.support_pain, economy.CALL),
        payment_failing=relieved(drivers.payment_failing, economy.CALL, economy.PAUSE),
        is_declining=drivers.is_declining & ~revived,
        contact_effect=drivers.contact_effect + carried,
    )


def exit_intent(state: State, rng: np.random.Generator) -> FloatArray:
    """Return each customer's exit intent: the more probable leaving, the more probable a data export."""
    probability = economy.sigmoid(probabilities.churn_log_odds(state)) + FALSE_EXPORT
    begins = rng.random(state.customers) < np.minimum(probability, 0.5)
    return np.where(begins, rng.uniform(0.8, 1.6, state.customers), state.drivers.exit_intent)


def accepts_offer(state: State, offer: CodeArray, rng: np.random.Generator) -> BoolArray:
    """Draw whether each customer accepts the offer of the month's contact."""
    return np.asarray(rng.random(state.customers) < probabilities.acceptance_probability(state, offer))
