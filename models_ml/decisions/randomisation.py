"""Random assignment: which customers are held out or take part in the trial, and the logged probabilities.

Draws in [0, 1) come from stable hashes, so that the same inputs always give the same decisions. Three strata: the
*universal holdout* is never contacted; customers on *trial* get an offer or nothing by chance
(:mod:`models_ml.decisions.trial`); of the customers that the *policy* chooses, a share h (the pick-holdout) is not
contacted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models_ml.decisions.policy import Policy

ARMS = ("universal_holdout", "suppressed", "trial", "not_chosen", "policy", "pick_holdout")
UNIVERSAL_HOLDOUT, SUPPRESSED, TRIAL, NOT_CHOSEN, POLICY, PICK_HOLDOUT = range(len(ARMS))

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Codes = NDArray[np.int8]


def first_arms(universal_draw: Floats, suppressed: Bools, policy: Policy) -> Codes:
    """Split customers before anything is planned; membership never looks at a score.

    Parameters
    ----------
    universal_draw : ndarray of shape (n,)
        In [0, 1), fixed per customer.
    suppressed : ndarray of bool of shape (n,)
    policy : Policy
        Gives universal_holdout_share.

    Returns
    -------
    ndarray of int8 of shape (n,)
        UNIVERSAL_HOLDOUT, SUPPRESSED, or NOT_CHOSEN for customers left to trial and policy.
    """
    arms = np.full(len(universal_draw), NOT_CHOSEN, dtype=np.int8)
    arms[suppressed] = SUPPRESSED
    arms[universal_draw < policy.universal_holdout_share] = UNIVERSAL_HOLDOUT
    return arms


def withhold(arms: Codes, choice: NDArray[np.int64], pick_draw: Floats, pick_holdout_share: float) -> Codes:
    """Mark the customers that the policy chose, and among them the pick-holdout, which is not contacted.

    Parameters
    ----------
    arms : ndarray of int8 of shape (n,)
        As :func:`first_arms` returns them, customers on trial set to TRIAL.
    choice : ndarray of int of shape (n,)
        The plan, −1 for nothing; only its rows left to the policy count.
    pick_draw : ndarray of shape (n,)
        In [0, 1), per customer and episode.
    pick_holdout_share : float
        0 or within 0.05–0.95.
    """
    chosen = (arms == NOT_CHOSEN) & (choice >= 0)
    drawn = pick_draw < pick_holdout_share
    return np.where(chosen, np.where(drawn, PICK_HOLDOUT, POLICY), arms).astype(np.int8)


def propensities(
    arms: Codes, trial_done: Floats, trial_nothing: Floats, pick_holdout_share: float
) -> tuple[Floats, Floats]:
    """Return the probability of what was assigned and of no action, each of shape (n,), given that chance had a say.

    ``policy`` 1 − h and h, ``pick_holdout`` h and h, ``trial`` as drawn there, all other arms 1 and 1.
    With h = 0 a chosen customer is always contacted: the probability of no action is 0, and the row carries no
    information on what contacts change.

    Examples
    --------
    >>> trial = np.array([1.0, 1.0, 0.2, 1.0]), np.array([1.0, 1.0, 0.4, 1.0])
    >>> [p.tolist() for p in propensities(np.array([POLICY, PICK_HOLDOUT, TRIAL, NOT_CHOSEN], np.int8), *trial, 0.25)]
    [[0.75, 0.25, 0.2, 1.0], [0.25, 0.25, 0.4, 1.0]]
    """
    done, nothing = np.ones(len(arms)), np.ones(len(arms))
    done[arms == POLICY] = 1.0 - pick_holdout_share
    done[arms == PICK_HOLDOUT] = pick_holdout_share
    nothing[(arms == POLICY) | (arms == PICK_HOLDOUT)] = pick_holdout_share
    trial = arms == TRIAL
    done[trial], nothing[trial] = trial_done[trial], trial_nothing[trial]
    return done, nothing
