r"""What a plan is worth, with an interval: how far the sum moves with effects that are not known exactly.

For a fixed set of contacts (i, o) and effects b,

    W(b) = Σ [σ(logit p_0i + a·1) − σ(logit p_0i + a·1 + b_o·z_i)]·V_i − Σ cost_io

is drawn for b from the posterior, all offers together, since what makes one offer weaker than believed may make another
so as well. The common shift a ~ N(0, shift_sd²) is what the churn probabilities of all customers may be off by. The
interval holds the middle share of the draws; its centre is the expected value, the mean over the posterior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from models_ml.decisions.offer_beliefs import EffectBeliefs, Floats
from models_ml.decisions.settings import PlanValueSettings

BATCH_ROWS = 4_096  # contacts at a time: draws × rows × 8 bytes are held thrice


@dataclass(frozen=True)
class Contacts:
    """n planned contacts.

    ``offer`` (n,) is the position of the offer, ``churn_probability`` (n,) in [0, 1] if left alone, ``customer_value``
    (n,) and ``expected_cost`` (n,) money, ``signals`` (n, s) as the beliefs name them.
    """

    offer: NDArray[np.int64]
    churn_probability: Floats
    customer_value: Floats
    expected_cost: Floats
    signals: Floats


@dataclass(frozen=True)
class PlanValue:
    """Expected value of a plan and the ends of its interval, money."""

    expected: float
    low: float
    high: float


def plan_value_interval(
    contacts: Contacts,
    beliefs: EffectBeliefs,
    *,
    share: float,
    shift_sd: float,
    settings: PlanValueSettings,
) -> PlanValue:
    """Return mean and interval of what the contacts are worth.

    Parameters
    ----------
    contacts : Contacts
    beliefs : EffectBeliefs
    share : float
        In (0, 1): how much of the posterior the interval holds.
    shift_sd : float
        ≥ 0, log-odds by which the churn probabilities may be off, all alike.
    settings : PlanValueSettings
        Number and seed of the draws; they come in opposite pairs, so that an effect of which W is linear has its mean
        exactly.

    Examples
    --------
    One customer who leaves with probability 1/2, worth 400; the effect is known: the odds are halved.

    >>> known = EffectBeliefs(("a",), (), np.log([[0.5]]), np.zeros((1, 1)), np.zeros((1, 1), bool))
    >>> one = Contacts(np.array([0]), np.array([0.5]), np.array([400.0]), np.array([6.0]), np.empty((1, 0)))
    >>> found = plan_value_interval(one, known, share=0.8, shift_sd=0.0, settings=PlanValueSettings(10, 1, 0.1, 1))
    >>> round(found.low, 4), round(found.expected, 4), round(found.high, 4)
    (60.6667, 60.6667, 60.6667)
    """
    cost = math.fsum(contacts.expected_cost.tolist())
    effects, shift = drawn_effects(beliefs, settings.draws, settings.seed)
    shift *= shift_sd
    total = np.full(len(shift), -cost)
    for offer in np.unique(contacts.offer):
        rows = np.flatnonzero(contacts.offer == offer)
        for start in range(0, len(rows), BATCH_ROWS):
            total += _saved(contacts, rows[start : start + BATCH_ROWS], effects[:, offer], shift)
    low, high = np.quantile(total, [(1.0 - share) / 2.0, (1.0 + share) / 2.0])
    return PlanValue(float(total.mean()), float(low), float(high))


def _saved(contacts: Contacts, rows: NDArray[np.int64], effects: Floats, shift: Floats) -> Floats:
    """Return the margin that some contacts with one offer keep under each draw, shape (draws,)."""
    with np.errstate(divide="ignore"):
        log_odds = logit(contacts.churn_probability[rows])
    moved = np.repeat(effects[:, :1], len(rows), axis=1)
    for column in range(contacts.signals.shape[1]):
        moved += effects[:, 1 + column, None] * contacts.signals[rows, column]
    alone = log_odds + shift[:, None]
    moved += alone
    fewer = expit(alone, out=alone)
    fewer -= expit(moved, out=moved)
    return np.asarray(np.einsum("ij,j->i", fewer, contacts.customer_value[rows]))


def drawn_effects(beliefs: EffectBeliefs, draws: int, seed: int) -> tuple[Floats, Floats]:
    """Return effects (draws, k, 1 + s) from the posterior, in opposite pairs, and standard normal shifts (draws,)."""
    values, vectors = np.linalg.eigh(beliefs.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    half = np.random.default_rng(seed).standard_normal((math.ceil(draws / 2), len(root) + 1))
    normal = np.concatenate([half, -half])
    effects = beliefs.mean.ravel() + np.einsum("ij,kj->ik", normal[:, 1:], root)
    return effects.reshape(len(normal), *beliefs.mean.shape), normal[:, 0]
