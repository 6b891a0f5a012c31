r"""By how much the expected values of a plan add up to too much, because a plan chooses what looks best.

Beliefs err. Of two offers that are worth the same, the one that is believed better is chosen, and of two customers the
one that an offer is believed to do more for. So the values of the chosen add up to more than they are worth, though
none of them errs on its own: the optimizer's curse (Smith & Winkler 2006, *Management Science* 52, section 2).

The same holds for costs: an offer is chosen where acceptance is believed too rare.

It is measured by a parametric bootstrap (Efron 2014, *JASA* 109, section 3). Coefficients of effects and of acceptance
are drawn around those believed, with what is unknown of them, and each contacted customer's offer is chosen again at
the plan's prices of money and slots. A customer's share is what the drawn value of the offer chosen again exceeds its
expected value by, on average over the draws that choose one:

    optimism = Σ_i E[v*_ia − v_ia | offer a is chosen again for i]

and likewise E[c_ia − c*_ia | …] of the cost. To first order in the coefficients,

    v*_ia − v_ia = −p_ia · (1 − p_ia) · V_i · (b*_a − b_a)·z_i − (c*_ia − c_ia)
    c*_ia − c_ia = g_ia · q_ia · (1 − q_ia) · (w*_a − w_a)·x_i

A customer that gets the same offer in every draw adds nothing; where effects and acceptance are known, all of it is 0.
The rows of the plan keep their expected values: to contact every customer with a value above 0 stays the best choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models_ml.decisions.offer_beliefs import Floats

BATCH_ROWS = 4_096  # contacts at a time: draws × rows × offers × 8 bytes are held


@dataclass(frozen=True)
class ChosenContacts:
    """n customers for each of whom the policy chose one of k offers; money.

    ``net_value`` (n, k) is the expected value less the touch price and the prices of money and slots, −∞ where the
    offer may not be made; nothing is chosen where none is above 0. ``value_per_effect`` (n, k) is what one unit of the
    effect's log-odds changes, and ``signals`` (n, s) as the effects name them; ``cost_per_acceptance`` (n, k) what one
    unit of the log-odds of accepting costs, and ``features`` (n, f) as the acceptance model names them. ``money_price``
    is the price of one unit of expected cost.
    """

    net_value: Floats
    value_per_effect: Floats
    signals: Floats
    cost_per_acceptance: Floats
    features: Floats
    money_price: float


@dataclass(frozen=True)
class Optimism:
    """By how much expected values add up to too much, and expected costs to too little; money ≥ 0."""

    value: float
    cost: float


def selection_optimism(
    contacts: ChosenContacts, effect_errors: Floats, acceptance_errors: Floats
) -> Optimism:
    """Return the optimism of the contacts' values and costs.

    Parameters
    ----------
    contacts : ChosenContacts
    effect_errors : ndarray of shape (draws, k, 1 + s)
        Drawn coefficients less those believed, in opposite pairs.
    acceptance_errors : ndarray of shape (draws, k, 1 + f)
        The same of the acceptance model, the intercept at features of 0.

    Examples
    --------
    One customer, one offer worth 1 after its price. An effect that errs by ± 0.1 moves the value by ∓ 2: only the
    better draw chooses it again, at 2 more than it is worth. At ± 0.4 for a value of 10 both do, and nothing is left:

    >>> none, no_signal = np.zeros((2, 1, 1)), np.empty((1, 0))
    >>> errors = np.array([[[-0.1]], [[0.1]]])
    >>> close = ChosenContacts(np.array([[1.0]]), np.array([[-20.0]]), no_signal, np.zeros((1, 1)), no_signal, 0.0)
    >>> selection_optimism(close, errors, none)
    Optimism(value=2.0, cost=0.0)
    >>> clear = ChosenContacts(np.array([[10.0]]), np.array([[-20.0]]), no_signal, np.zeros((1, 1)), no_signal, 0.0)
    >>> selection_optimism(clear, 4.0 * errors, none)
    Optimism(value=0.0, cost=0.0)

    Acceptance that errs by as much moves cost and value; only the draw with fewer acceptances chooses the offer again:

    >>> costly = ChosenContacts(np.array([[1.0]]), np.array([[0.0]]), no_signal, np.array([[20.0]]), no_signal, 0.5)
    >>> selection_optimism(costly, none, errors)
    Optimism(value=2.0, cost=2.0)
    """
    customers = np.arange(len(contacts.net_value))
    batches = np.array_split(customers, max(1, math.ceil(len(customers) / BATCH_ROWS)))
    shares = [_share_of(contacts, rows, effect_errors, acceptance_errors) for rows in batches]
    value, cost = (max(0.0, math.fsum(share[at] for share in shares)) for at in (0, 1))
    return Optimism(value, cost)


def _share_of(
    contacts: ChosenContacts, rows: NDArray[np.int64], effect_errors: Floats, acceptance_errors: Floats
) -> tuple[float, float]:
    """Return the optimism of some customers, of value and of cost."""
    gained = _errors_of(contacts.signals[rows], effect_errors) * contacts.value_per_effect[rows]
    cost = _errors_of(contacts.features[rows], acceptance_errors) * contacts.cost_per_acceptance[rows]
    value = gained - cost
    drawn = contacts.net_value[rows] + value - contacts.money_price * cost
    again = drawn.argmax(axis=2)[:, :, None]
    is_again = np.take_along_axis(drawn, again, axis=2)[:, :, 0] > 0.0
    times = np.maximum(is_again.sum(axis=0), 1)

    def share(shift: Floats) -> float:
        of_chosen = np.where(is_again, np.take_along_axis(shift, again, axis=2)[:, :, 0], 0.0).sum(axis=0)
        return math.fsum((of_chosen / times).tolist())

    return share(value), share(-cost)


def _errors_of(features: Floats, errors: Floats) -> Floats:
    """Return errors of log-odds, shape (draws, rows, k), from features (rows, f) and errors (draws, k, 1 + f)."""
    found = np.repeat(errors[:, None, :, 0], len(features), axis=1)
    for column in range(features.shape[1]):
        found += errors[:, None, :, 1 + column] * features[None, :, column, None]
    return found
