r"""By how much the expected values of a plan add up to too much, because a plan chooses what looks best.

Beliefs err. Of two offers that are worth the same, the one that is believed better is chosen, and of two customers the
one that an offer is believed to do more for. So the values of the chosen add up to more than they are worth, though
none of them errs on its own: the optimizer's curse (Smith & Winkler 2006, *Management Science* 52, section 2).

It is measured by a parametric bootstrap (Efron 2014, *JASA* 109, section 3). Means of the effects are drawn around
those believed, with their posterior covariance, and each contacted customer's offer is chosen again at the plan's
prices of money and slots. A customer's share is what the drawn value of the offer chosen again exceeds its expected
value by, on average over the draws that choose one:

    optimism = Σ_i E[v*_ia − v_ia | offer a is chosen again for i]

To first order in the effect, v*_ia − v_ia = −p_ia · (1 − p_ia) · V_i · (b*_a − b_a)·z_i. A customer that gets the same
offer in every draw adds nothing; where effects are known, all of it is 0. The rows of the plan keep their expected
values: to contact every customer with a value above 0 stays the best choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models_ml.decisions.effect_beliefs import Floats

BATCH_ROWS = 4_096  # contacts at a time: draws × rows × offers × 8 bytes are held


@dataclass(frozen=True)
class ChosenContacts:
    """n customers for each of whom the policy chose one of k offers; money.

    ``net_value`` (n, k) is the expected value less the touch price and the prices of money and slots, −∞ where the
    offer may not be made; nothing is chosen where none is above 0. ``value_per_effect`` (n, k) is what one unit of the
    effect's log-odds changes, and ``signals`` (n, s) as the effects name them.
    """

    net_value: Floats
    value_per_effect: Floats
    signals: Floats


def selection_optimism(contacts: ChosenContacts, errors: Floats) -> float:
    """Return the optimism of the contacts' values, money ≥ 0.

    Parameters
    ----------
    contacts : ChosenContacts
    errors : ndarray of shape (draws, k, 1 + s)
        Drawn effects less those believed, in opposite pairs.

    Examples
    --------
    One customer, one offer worth 1 after its price. An effect that errs by ± 0.1 moves the value by ∓ 2: only the
    better draw chooses it again, at 2 more than it is worth. At ± 0.4 for a value of 10 both do, and nothing is left:

    >>> errors = np.array([[[-0.1]], [[0.1]]])
    >>> close = ChosenContacts(np.array([[1.0]]), np.array([[-20.0]]), np.empty((1, 0)))
    >>> selection_optimism(close, errors)
    2.0
    >>> clear = ChosenContacts(np.array([[10.0]]), np.array([[-20.0]]), np.empty((1, 0)))
    >>> selection_optimism(clear, 4.0 * errors)
    0.0
    """
    customers = np.arange(len(contacts.net_value))
    batches = np.array_split(customers, max(1, math.ceil(len(customers) / BATCH_ROWS)))
    return max(0.0, math.fsum(_share_of(contacts, rows, errors) for rows in batches))


def _share_of(contacts: ChosenContacts, rows: NDArray[np.int64], errors: Floats) -> float:
    """Return the optimism of some customers."""
    signals = contacts.signals[rows]
    shift = np.repeat(errors[:, None, :, 0], len(rows), axis=1)  # (draws, rows, k)
    for column in range(signals.shape[1]):
        shift += errors[:, None, :, 1 + column] * signals[None, :, column, None]
    shift *= contacts.value_per_effect[rows]
    drawn = contacts.net_value[rows] + shift
    again = drawn.argmax(axis=2)[:, :, None]
    is_again = np.take_along_axis(drawn, again, axis=2)[:, :, 0] > 0.0
    gained = np.where(is_again, np.take_along_axis(shift, again, axis=2)[:, :, 0], 0.0).sum(axis=0)
    return math.fsum((gained / np.maximum(is_again.sum(axis=0), 1)).tolist())
