"""Policies as probabilities of each arm: nobody, one offer for all, and the plan that follows from effects."""

from __future__ import annotations

import numpy as np

from models_ml.decisions.choose import choose_actions
from models_ml.decisions.limits import Limits
from models_ml.errors import BayesPilotError
from models_ml.uplift.trial import CONTROL, Floats, Trial

NOBODY = "treat none"
LEARNED = "learned policy"


def one_offer_name(trial: Trial, offer: str) -> str:
    """Name the policy that makes one offer to all."""
    return "treat all" if len(trial.offers) == 1 else f"all {offer}"


def checked_limits(limits: Limits | None, trial: Trial) -> Limits:
    """Return the limits of as many customers as the trial has rows, infinite where none are given.

    Raises
    ------
    BayesPilotError
        If they are limits of other offers, or of the same in another order.
    """
    if limits is None:
        free = np.full(len(trial.offers), np.inf)
        return Limits(np.inf, free, dict.fromkeys(trial.offers, np.inf), trial.offers, trial.offers)
    if limits.offer_names != trial.offers:
        raise BayesPilotError(
            "limits and offers of the trial differ",
            where="limits",
            values=limits.offer_names,
            next_step=f"give limits with the offer_names {trial.offers}",
        )
    return limits


def uniform_policies(trial: Trial, limits: Limits) -> dict[str, Floats]:
    """Return the policies that do not look at the customer, simplest first, each (n, k + 1) probabilities.

    One offer is made to all, or under limits to as many as they allow, drawn by lot.
    """
    found = {NOBODY: _everybody(trial, CONTROL, 1.0)}
    for position, offer in enumerate(trial.offers):
        channel = limits.channel_capacity[limits.offer_channel[position]]
        contacts = min(float(limits.offer_capacity[position]), channel)
        cost = float(trial.cost[:, 1 + position].sum())
        shares = [1.0, contacts / len(trial), limits.budget / cost if cost > 0 else 1.0]
        found[one_offer_name(trial, offer)] = _everybody(trial, 1 + position, min(shares))
    return found


def planned_policy(trial: Trial, effects: Floats, limits: Limits) -> Floats:
    """Return the plan of `choose_actions` as 0 and 1, (n, k + 1).

    Parameters
    ----------
    effects : ndarray of shape (n, k)
        Expected effect of each offer on the outcome.
    """
    choice = planned_choice(net_gains(trial, effects), trial.cost[:, 1:], limits)
    return np.asarray(np.eye(len(trial.arms))[choice + 1])


def planned_choice(
    gains: Floats,
    cost: Floats,
    limits: Limits,
    allowed: np.ndarray | None = None,
    tie_order: np.ndarray | None = None,
) -> np.ndarray:
    """Return the chosen offer of each row, −1 for none, (n,); all are allowed and rows in order where not stated."""
    plan = choose_actions(
        gains,
        cost,
        np.ones(gains.shape, dtype=bool) if allowed is None else allowed,
        limits=limits,
        touch_price=0.0,
        tie_order=np.arange(len(gains)) if tie_order is None else tie_order,
    )
    return plan.choice


def net_gains(trial: Trial, effects: Floats) -> Floats:
    """Return the expected money of each offer against none, its cost subtracted, (n, k)."""
    return trial.value[:, None] * effects - trial.cost[:, 1:]


def _everybody(trial: Trial, arm: int, share: float) -> Floats:
    policy = np.zeros((len(trial), len(trial.arms)))
    policy[:, CONTROL] = 1.0 - share
    policy[:, arm] += share
    return policy
