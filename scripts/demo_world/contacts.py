"""The contacts of a month: campaigns aimed at customers at risk, and a small randomised trial."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo_world import economy, probabilities
from demo_world.economy import BoolArray, CodeArray, FloatArray, IntArray
from demo_world.state import State

CAMPAIGN_SHARE = 0.05  # of the subscribers, a month
TRIAL_SHARE = 0.06
COOL_DOWN_DAYS = 60  # at least so many days between two contacts of a customer


@dataclass(frozen=True)
class Contacts:
    """The contacts planned for one month: one row per customer, in ascending order of position."""

    position: IntArray  # of the customer in the state
    offer: CodeArray  # −1 = control of the trial, not contacted
    day_offset: IntArray  # days after the month's first
    is_randomized: BoolArray
    propensity: FloatArray  # probability of the arm received; NaN = unknown
    action_id: tuple[str | None, ...]  # of the BayesPilot decision that is executed, if any


def past_contacts(state: State, rng: np.random.Generator, *, is_last: bool, has_trial: bool) -> Contacts:
    """Plan a month of contacts as the business did before it used BayesPilot.

    Parameters
    ----------
    state : State
        The world at the start of the month.
    rng : numpy.random.Generator
        Source of randomness; consumed.
    is_last : bool
        In the last month of history a few contacts only, so that most customers are past their cool-down.
    has_trial : bool
        Whether the randomised trial runs in this month.
    """
    cool_since = state.starts_on - np.timedelta64(COOL_DOWN_DAYS, "D")
    admitted = probabilities.admitted_offers(state)
    is_free = admitted.any(axis=1) & ~(state.account.last_contacted_on > cool_since)
    in_trial = is_free & (rng.random(state.customers) < (TRIAL_SHARE if has_trial else 0.0))
    trial_offer, propensity = _trial_arms(admitted, rng)
    share = CAMPAIGN_SHARE * (0.3 if is_last else 1.0)
    in_campaign = is_free & ~in_trial & _campaign(state, is_free, share, rng)
    campaign_offer = _campaign_offers(state, admitted, rng)
    day_offset = np.where(in_trial, 1, rng.integers(2, 12, state.customers))
    chosen = np.flatnonzero(in_trial | in_campaign)
    return Contacts(
        position=chosen,
        offer=np.where(in_trial, trial_offer, campaign_offer)[chosen].astype(np.int8),
        day_offset=day_offset[chosen],
        is_randomized=in_trial[chosen],
        propensity=np.where(in_trial, propensity, np.nan)[chosen],
        action_id=(None,) * len(chosen),
    )


def _trial_arms(admitted: BoolArray, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Return one of the k admitted offers or −1 per customer, and the probability 1 / (k + 1) of each."""
    arms = np.column_stack([admitted, np.ones(len(admitted), dtype=bool)])
    draws = np.where(arms, rng.random(arms.shape), -1.0)
    arm = np.argmax(draws, axis=1)
    return np.where(arm == len(economy.OFFERS), economy.NO_ACTION, arm), 1.0 / arms.sum(axis=1)


def _campaign(state: State, is_free: BoolArray, share: float, rng: np.random.Generator) -> BoolArray:
    """Draw the customers of the campaign: the higher the risk as the team judges it, the more probable."""
    impression = 0.3 * state.traits.restlessness + rng.normal(0.0, 0.5, state.customers)
    weight = np.exp(0.7 * (probabilities.signals(state) @ economy.CHURN_WEIGHTS + impression)) * is_free
    wanted = share * state.account.is_subscribed.sum()
    picked = rng.random(state.customers) < np.minimum(wanted * weight / max(weight.sum(), 1e-9), 0.5)
    return np.asarray(picked)


def _campaign_offers(state: State, admitted: BoolArray, rng: np.random.Generator) -> IntArray:
    """Return the offer that the team picks: one that suits the strongest signal, with some randomness."""
    appeal = np.zeros((state.customers, len(economy.OFFERS)))
    strength = probabilities.signals(state)
    appeal[:, economy.NUDGE_EMAIL] = 0.6 + strength[:, 3] + 0.5 * strength[:, 4]
    appeal[:, economy.DISCOUNT] = 0.6 + strength[:, 2] + 0.5 * strength[:, 5]
    appeal[:, economy.CALL] = 0.3 + 1.2 * strength[:, 1] + 0.5 * strength[:, 0]
    appeal[:, economy.PLAN_CHANGE] = 0.1 + 0.7 * strength[:, 2]
    appeal[:, economy.PAUSE] = 0.1 + 0.6 * strength[:, 0]
    appeal += rng.gumbel(0.0, 0.4, appeal.shape)
    return np.asarray(np.argmax(np.where(admitted, appeal, -np.inf), axis=1))
