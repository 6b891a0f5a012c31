"""Random assignment: which customers are held out or take part in the trial, and the logged probabilities.

Draws in [0, 1) come from stable hashes, so that the same inputs always give the same decisions. Three strata: the
*universal holdout* is never contacted; the *trial* gets one of k plausible offers or nothing, each with probability
1 / (k + 1); of the customers that the *policy* chooses, a share h (the pick-holdout) is not contacted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models_ml.decisions.limits import Limits
from models_ml.decisions.policy import Policy

ARMS = ("universal_holdout", "suppressed", "trial", "not_chosen", "policy", "pick_holdout")
UNIVERSAL_HOLDOUT, SUPPRESSED, TRIAL, NOT_CHOSEN, POLICY, PICK_HOLDOUT = range(len(ARMS))

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Codes = NDArray[np.int8]


def first_arms(
    universal_draw: Floats, trial_draw: Floats, suppressed: Bools, plausible: Bools, policy: Policy
) -> Codes:
    """Split customers before anything is planned; membership never looks at a score.

    Parameters
    ----------
    universal_draw, trial_draw : ndarray of shape (n,)
        In [0, 1): the first fixed per customer, the second per customer and month.
    suppressed : ndarray of bool of shape (n,)
    plausible : ndarray of bool of shape (n, k)
        Offers that are allowed and would pay if they kept every customer; without one there is nothing to try.
    policy : Policy
        Gives universal_holdout_share and trial_share.

    Returns
    -------
    ndarray of int8 of shape (n,)
        UNIVERSAL_HOLDOUT, SUPPRESSED, TRIAL, or NOT_CHOSEN for customers left to the policy.
    """
    arms = np.full(len(universal_draw), NOT_CHOSEN, dtype=np.int8)
    arms[(trial_draw < policy.trial_share) & plausible.any(axis=1)] = TRIAL
    arms[suppressed] = SUPPRESSED
    arms[universal_draw < policy.universal_holdout_share] = UNIVERSAL_HOLDOUT
    return arms


def assign_trial(trial_offer_draw: Floats, plausible: Bools) -> NDArray[np.int64]:
    """Give each trial customer one of the k plausible offers or nothing, each with probability 1 / (k + 1).

    Returns
    -------
    ndarray of int of shape (n,)
        Position of the offer, −1 for nothing (the last of the k + 1 equal intervals of the draw).

    Examples
    --------
    >>> assign_trial(np.array([0.1, 0.5, 0.9]), np.array([[True, False, True]] * 3)).tolist()
    [0, 2, -1]
    """
    count = plausible.sum(axis=1)
    drawn = np.minimum(np.floor(trial_offer_draw * (count + 1)).astype(np.int64), count)
    is_drawn = plausible & (np.cumsum(plausible, axis=1) == drawn[:, None] + 1)
    return np.where(drawn < count, is_drawn.argmax(axis=1), -1)


def admit_trial(
    trial_draw: Floats, plausible: Bools, assigned: NDArray[np.int64], cost: Floats, limits: Limits
) -> Bools:
    """Return which trial customers fit into the limits; the others are left to the policy.

    Customers are admitted in order of ``trial_draw`` for as long as the limits have room for *every* plausible
    offer of the next one. The offer drawn for that customer plays no role, so that the propensities stay exact.

    Parameters
    ----------
    trial_draw : ndarray of shape (n,)
    plausible, assigned
        Of shape (n, k) and (n,), as in :func:`assign_trial`.
    cost : ndarray of shape (k,)
        Expected cost per contact, in the unit of the budget.
    limits : Limits

    Returns
    -------
    ndarray of bool of shape (n,)
    """
    order = np.lexsort((np.arange(len(trial_draw)), trial_draw))
    contacts = assigned[order, None] == np.arange(plausible.shape[1])
    before = np.cumsum(contacts, axis=0) - contacts
    highest_cost = np.where(plausible[order], cost, 0.0).max(axis=1, initial=0.0)
    fits = before @ cost + highest_cost <= limits.budget
    fits &= ((before + 1 <= limits.offer_capacity) | ~plausible[order]).all(axis=1)
    for channel, capacity in limits.channel_capacity.items():
        on_channel = np.array([name == channel for name in limits.offer_channel])
        would_use = plausible[order][:, on_channel].any(axis=1)
        fits &= (before[:, on_channel].sum(axis=1) + 1 <= capacity) | ~would_use
    admitted = np.zeros(len(trial_draw), dtype=bool)
    admitted[order] = np.logical_and.accumulate(fits)
    return admitted


def withhold(arms: Codes, choice: NDArray[np.int64], pick_draw: Floats, pick_holdout_share: float) -> Codes:
    """Mark the customers that the policy chose, and among them the pick-holdout, which is not contacted.

    Parameters
    ----------
    arms : ndarray of int8 of shape (n,)
        As :func:`first_arms` returns them, trial customers that were not admitted set to NOT_CHOSEN.
    choice : ndarray of int of shape (n,)
        The plan, −1 for nothing; only its rows left to the policy count.
    pick_draw : ndarray of shape (n,)
        In [0, 1), per customer and month.
    pick_holdout_share : float
        0 or within 0.05–0.95.
    """
    chosen = (arms == NOT_CHOSEN) & (choice >= 0)
    drawn = pick_draw < pick_holdout_share
    return np.where(chosen, np.where(drawn, PICK_HOLDOUT, POLICY), arms).astype(np.int8)


def propensities(
    arms: Codes, plausible_offers: NDArray[np.int64], pick_holdout_share: float
) -> tuple[Floats, Floats]:
    """Return the probability of what was done and of no action, each of shape (n,).

    ``policy`` 1 − h and h, ``pick_holdout`` h and h, ``trial`` 1 / (k + 1) for both, all other arms 1 and 1.
    With h = 0 a chosen customer is always contacted: the probability of no action is 0, and the row carries no
    information on what contacts change.

    Examples
    --------
    >>> [p.tolist() for p in propensities(np.array([POLICY, PICK_HOLDOUT, TRIAL, NOT_CHOSEN], np.int8),
    ...                                   np.array([2, 2, 4, 0]), 0.25)]
    [[0.75, 0.25, 0.2, 1.0], [0.25, 0.25, 0.2, 1.0]]
    """
    done, nothing = np.ones(len(arms)), np.ones(len(arms))
    done[arms == POLICY] = 1.0 - pick_holdout_share
    done[arms == PICK_HOLDOUT] = pick_holdout_share
    nothing[(arms == POLICY) | (arms == PICK_HOLDOUT)] = pick_holdout_share
    trial = arms == TRIAL
    done[trial] = nothing[trial] = 1.0 / (plausible_offers[trial] + 1.0)
    return done, nothing
