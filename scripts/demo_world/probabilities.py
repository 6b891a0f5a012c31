"""True probabilities given the churn drivers: leaving within 28 days, with and without an offer; acceptance."""

from __future__ import annotations

import numpy as np

from demo_world import economy
from demo_world.economy import BoolArray, CodeArray, FloatArray
from demo_world.state import State


def signals(state: State) -> FloatArray:
    """Return the strength 0–2 of each churn driver, shape (n, 6), in the order of ``economy.SIGNALS``."""
    drivers = state.drivers
    columns = [
        drivers.payment_failing,
        drivers.support_pain,
        drivers.price_shock,
        drivers.accustomed_engagement - drivers.engagement,
        (drivers.silent_months - 1) / 2.0,
        drivers.exit_intent,
    ]
    return np.clip(np.column_stack(columns), 0.0, 2.0)


def renews_this_month(state: State) -> BoolArray:
    """Say for each customer (n,) whether the commitment ends in the month to come."""
    return np.asarray(state.account.commitment_ends_on.astype("M8[M]") == state.month)


def churn_log_odds(state: State) -> FloatArray:
    """Return the log-odds (n,) of leaving within 28 days of the last day before the month, if left alone."""
    account, strength = state.account, signals(state)
    tenure_months = (state.starts_on - state.traits.signed_up_on).astype(float) / 30.4
    is_committed = account.commitment_ends_on >= (state.month + 1).astype("M8[D]")
    commitment = np.where(
        account.is_annual, economy.YEARLY_COMMITTED_WEIGHT, economy.COMMITTED_WEIGHT
    ) * is_committed + np.where(renews_this_month(state), economy.RENEWAL_MONTH_WEIGHT, 0.0)
    return np.asarray(
        economy.CHURN_INTERCEPT
        + strength @ economy.CHURN_WEIGHTS
        + economy.PRICE_AND_DECLINE_WEIGHT * strength[:, 2] * strength[:, 3]
        + economy.NEWCOMER_WEIGHT * np.exp(-np.maximum(tenure_months, 0.0) / 4.0)
        + commitment
        + state.traits.restlessness
        + state.drivers.contact_effect
    )


def offer_effect(state: State, offer: CodeArray) -> FloatArray:
    """Return the change (n,) of the log-odds of leaving when contacted with the offers (−1 = none)."""
    design = np.column_stack([np.ones(state.customers), signals(state)])
    effects = np.vstack([economy.OFFER_EFFECTS, np.zeros(design.shape[1])])[offer]
    return np.asarray(state.traits.receptiveness * np.einsum("ij,ij->i", design, effects))


def churn_probability(state: State, offer: CodeArray) -> FloatArray:
    """Return the probability (n,) of leaving within 28 days, each customer contacted on the first day."""
    return economy.sigmoid(churn_log_odds(state) + offer_effect(state, offer))


def acceptance_probability(state: State, offer: CodeArray) -> FloatArray:
    """Return the probability (n,) of accepting the offer; 0 without one."""
    design = np.column_stack([np.ones(state.customers), signals(state)])
    log_odds = np.einsum("ij,ij->i", design, economy.ACCEPTANCE[np.maximum(offer, 0)])
    return np.where(offer >= 0, economy.sigmoid(log_odds), 0.0)


def admitted_offers(state: State) -> BoolArray:
    """Return which offers each customer may get, shape (n, 5): consent to the channel, a plan that fits."""
    consent = {
        "email": state.traits.consents_to_email,
        "phone": state.traits.consents_to_phone,
        "push": state.traits.consents_to_push,
    }
    admitted = np.column_stack([consent[channel] for channel in economy.OFFER_CHANNELS])
    admitted[:, economy.PLAN_CHANGE] &= state.account.plan > 0
    admitted[:, economy.PAUSE] &= ~state.account.is_annual
    return admitted & state.account.is_subscribed[:, None]
