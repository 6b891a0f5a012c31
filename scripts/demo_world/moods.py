"""How the causes of leaving come and go from month to month."""

from __future__ import annotations

import dataclasses

import numpy as np

from demo_world import causes, economy
from demo_world.accounts import BillingDay
from demo_world.economy import BoolArray, CodeArray, FloatArray
from demo_world.presence import Presence
from demo_world.state import Mood, State

DECLINE_STARTS, DECLINE_ENDS = 0.03, 0.25  # probability a month
SUDDEN_SILENCE = 0.014
SILENT_ENGAGEMENT = -4.2  # log of activity relative to usual: practically none
STAYS_SILENT = 0.95
COMPETITOR_OFFER = 0.02  # probability a month that a cheaper offer catches the eye
RISE_FOR_UNIT_SHOCK = 0.08  # a price rise of 8 % is a shock of 1
LATE_PAYMENT, UNPAID_INVOICE = 1.0, 1.9
FALSE_EXPORT = 0.004  # exports data without thinking of leaving


def drifted(state: State, presence: Presence, billing: BillingDay, rng: np.random.Generator) -> Mood:
    """Return the moods during the month: engagement drifts, prices bite, old troubles fade."""
    mood, count = state.mood, state.customers
    starts, ends, falls_silent = rng.random((3, count))
    is_declining = np.where(mood.is_declining, ends > DECLINE_ENDS, starts < DECLINE_STARTS)
    falling = mood.engagement - rng.uniform(0.25, 0.7, count)
    steady = 0.8 * mood.engagement + rng.normal(0.0, 0.15, count)
    engagement = np.where(is_declining, falling, steady)
    is_silent = mood.engagement < -3.0
    stays_silent = is_silent & (rng.random(count) < STAYS_SILENT)
    goes_silent = stays_silent | (falls_silent < SUDDEN_SILENCE)
    engagement = np.where(goes_silent, SILENT_ENGAGEMENT, np.where(is_silent, -0.5, engagement))
    engagement = np.where(presence.opens, rng.normal(0.0, 0.2, count), np.clip(engagement, -4.5, 1.0))
    accustomed = 0.72 * mood.accustomed_engagement + 0.28 * engagement
    competitor = (rng.random(count) < COMPETITOR_OFFER) * rng.uniform(0.5, 1.3, count)
    shock = 0.6 * mood.price_shock + billing.price_rise / RISE_FOR_UNIT_SHOCK + competitor
    kept = ~presence.opens
    return dataclasses.replace(
        mood,
        engagement=engagement,
        accustomed_engagement=np.where(presence.opens, engagement, accustomed),
        is_declining=is_declining & ~goes_silent & kept,
        price_shock=shock * kept,
        support_pain=0.55 * mood.support_pain * kept,
        packing_up=0.25 * mood.packing_up * kept,
        contact_effect=economy.EFFECT_CARRIED * mood.contact_effect * kept,
    )


def after_payments(mood: Mood, billing: BillingDay, is_late: BoolArray, is_unpaid: BoolArray) -> Mood:
    """Return the moods after the month's invoices: trouble with paying grows, or is settled."""
    trouble = np.where(is_unpaid, UNPAID_INVOICE, np.where(is_late, LATE_PAYMENT, 0.0))
    fading = np.where(billing.is_served, 0.4, 0.6) * mood.payment_failing
    return dataclasses.replace(mood, payment_failing=np.maximum(trouble, fading))


def after_contacts(mood: Mood, state: State, presence: Presence, accepts: BoolArray) -> Mood:
    """Return the moods after the month's contacts: part of the effect stays, acceptance heals its cause."""
    offer = presence.contact_offer
    carried = economy.EFFECT_CARRIED * causes.offer_effect(state, offer)

    def healed(strength: FloatArray, *offers: int) -> FloatArray:
        return np.where(accepts & np.isin(offer, offers), 0.5 * strength, strength)

    revived = accepts & np.isin(offer, (economy.NUDGE_EMAIL, economy.PAUSE))
    return dataclasses.replace(
        mood,
        price_shock=healed(mood.price_shock, economy.DISCOUNT, economy.PLAN_CHANGE),
        support_pain=healed(mood.support_pain, economy.CALL),
        payment_failing=healed(mood.payment_failing, economy.CALL, economy.PAUSE),
        is_declining=mood.is_declining & ~revived,
        contact_effect=mood.contact_effect + carried,
    )


def packing(state: State, rng: np.random.Generator) -> FloatArray:
    """Return how far each customer has packed up: the likelier to leave, the likelier an export."""
    probability = economy.sigmoid(causes.churn_log_odds(state)) + FALSE_EXPORT
    begins = rng.random(state.customers) < np.minimum(probability, 0.5)
    return np.where(begins, rng.uniform(0.8, 1.6, state.customers), state.mood.packing_up)


def accepts_offer(state: State, offer: CodeArray, rng: np.random.Generator) -> BoolArray:
    """Draw who accepts the offer of the month's contact."""
    return np.asarray(rng.random(state.customers) < causes.acceptance_probability(state, offer))
