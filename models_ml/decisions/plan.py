"""One run's decisions: suppress, set holdouts and trial apart, choose for the rest, withhold some of the chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models_ml.decisions.cents import cents_up, limits_in_cents, nearest_cents
from models_ml.decisions.economics import Valuation
from models_ml.decisions.limits import Limits
from models_ml.decisions.parameters import Offer, Policy
from models_ml.decisions.policy import Plan, choose_actions
from models_ml.decisions.randomisation import (
    NOT_CHOSEN,
    SUPPRESSED,
    TRIAL,
    admit_trial,
    assign_trial,
    first_arms,
    propensities,
    withhold,
)
from models_ml.decisions.references import Situation, top_risk

Bools = NDArray[np.bool_]
Codes = NDArray[np.int8]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
    """Stable numbers in [0, 1), each of shape (n,): who is held out, withheld, tried, and with what."""

    universal: Floats
    pick: Floats
    trial: Floats
    trial_offer: Floats


@dataclass(frozen=True)
class Decisions:
    """What is planned for n customers, in whole cents.

    ``planned`` (n,) is the position of the offer or −1, pick-holdouts and trial contacts included; ``arms`` (n,)
    indexes :data:`randomisation.ARMS`; ``below_minimum`` (n,) marks who is suppressed for a small value.
    ``value_cents`` (n,) is what the planned offer is worth and ``cost_cents`` (k,) what each offer costs.
    ``plan`` is the optimiser's, in cents, for those left to the policy; ``top_risk_cents`` is what the top-risk
    list would be worth within the same limits.
    """

    planned: NDArray[np.int64]
    arms: Codes
    below_minimum: Bools
    value_cents: Floats
    cost_cents: Floats
    propensity: Floats
    propensity_no_action: Floats
    plan: Plan
    top_risk_cents: float


def decide(
    churn_probability: Floats,
    valuation: Valuation,
    allowed: Bools,
    suppressed: Bools,
    draws: Draws,
    *,
    policy: Policy,
    offers: Sequence[Offer],
    limits: Limits,
) -> Decisions:
    """Decide for all customers at risk, given in order of customer_id.

    Parameters
    ----------
    churn_probability : ndarray of shape (n,)
        In [0, 1], if left alone.
    valuation : Valuation
        What each of the k offers is worth to each customer, money.
    allowed : ndarray of bool of shape (n, k)
        Consent, eligibility and lock-outs.
    suppressed : ndarray of bool of shape (n,)
        Customers whom a rule keeps from being contacted.
    draws : Draws
    policy, offers, limits
        Parameters, the k offers in order, and what the month has left.

    Returns
    -------
    Decisions
    """
    below_minimum = ~suppressed & (valuation.customer_value < policy.minimum_customer_value)
    costs = np.array([offer.expected_cost for offer in offers])
    if_kept = (churn_probability * valuation.customer_value)[:, None] - costs
    plausible = allowed & (if_kept > 0)
    arms = first_arms(draws.universal, draws.trial, suppressed | below_minimum, plausible, policy)
    value_cents, cost_cents = nearest_cents(valuation.expected_value), cents_up(costs)
    left = limits_in_cents(limits)
    planned, arms, left = _trial(arms, draws, plausible, cost_cents, left)

    open_to_policy = allowed & (arms == NOT_CHOSEN)[:, None]
    cost_of_each = np.broadcast_to(cost_cents, value_cents.shape)
    plan = choose_actions(
        value_cents,
        cost_of_each,
        open_to_policy,
        limits=left,
        touch_price=policy.touch_price * 100,
        tie_order=np.arange(len(churn_probability)),
    )
    arms = withhold(arms, plan.choice, draws.pick, policy.pick_holdout_share)
    planned = np.where(plan.choice >= 0, plan.choice, planned)
    reference = top_risk(Situation(value_cents, cost_of_each, open_to_policy, churn_probability, left))
    done, nothing = propensities(arms, plausible.sum(axis=1), policy.pick_holdout_share)
    return Decisions(
        planned=planned,
        arms=arms,
        below_minimum=below_minimum & (arms == SUPPRESSED),
        value_cents=_chosen(value_cents, planned, otherwise=0.0),
        cost_cents=cost_cents,
        propensity=done,
        propensity_no_action=nothing,
        plan=plan,
        top_risk_cents=reference.value,
    )


def _trial(
    arms: Codes, draws: Draws, plausible: Bools, cost_cents: Floats, limits: Limits
) -> tuple[NDArray[np.int64], Codes, Limits]:
    """Assign the trial first: who is in it, what they get, and what that leaves of the limits."""
    planned = np.full(len(arms), -1, dtype=np.int64)
    rows = np.flatnonzero(arms == TRIAL)
    if not len(rows):
        return planned, arms, limits
    assigned = assign_trial(draws.trial_offer[rows], plausible[rows])
    admitted = admit_trial(draws.trial[rows], plausible[rows], assigned, cost_cents, limits)
    arms = arms.copy()
    arms[rows[~admitted]] = NOT_CHOSEN
    planned[rows[admitted]] = assigned[admitted]
    contacts = np.bincount(planned[planned >= 0], minlength=len(cost_cents))
    return planned, arms, limits.after(math.fsum((contacts * cost_cents).tolist()), contacts)


def _chosen(table: Floats, planned: NDArray[np.int64], *, otherwise: float) -> Floats:
    """Return the column of each row's planned offer, ``otherwise`` where nothing is planned."""
    picked = np.take_along_axis(table, np.maximum(planned, 0)[:, None], axis=1)[:, 0]
    return np.where(planned >= 0, picked, otherwise)


def planned_relative_risk(valuation: Valuation, planned: NDArray[np.int64]) -> Floats:
    """Return the relative risk of each customer's planned offer, 1 where nothing is planned; shape (n,)."""
    return _chosen(valuation.relative_risk, planned, otherwise=1.0)
