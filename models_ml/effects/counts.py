"""Plain counts beside the effects: who was assigned, who churned, and how many would have if left alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from models_ml.effects.evidence import NO_OFFER, STRATA, Evidence, Floats, Integers

PICK_HOLDOUTS = STRATA.index("policy")


@dataclass(frozen=True)
class Counts:
    """Customers of each offer × (intercept, signals), shape (k, 1 + s): those with the signal above 0.

    ``expected`` is how many would have churned if left alone: the sum of recalibrated churn probabilities.
    """

    customers: Integers
    churned: Integers
    expected: Floats


def recalibrated(evidence: Evidence, shift: Floats, smallest_probability: float) -> Floats:
    """Return churn probabilities moved by the shift of each row's stratum, of shape (n,).

    Examples
    --------
    >>> row = Evidence(*(np.zeros(1, int),) * 3, np.array([0.5]), np.array([True]), *(np.ones(1),) * 2,
    ...                np.empty((1, 0)))
    >>> recalibrated(row, np.log([3.0, 1.0, 1.0]), 1e-6).round(6).tolist()
    [0.75]
    """
    low = smallest_probability
    clipped = np.clip(evidence.churn_probability, low, 1 - low)
    return np.asarray(expit(logit(clipped) + shift[evidence.stratum]))


def counts_of_contacted(evidence: Evidence, probability: Floats, offers: int) -> Counts:
    """Count those assigned to each offer."""
    return _count(evidence, probability, [evidence.offer == offer for offer in range(offers)])


def counts_of_controls(evidence: Evidence, probability: Floats, offers: int) -> Counts:
    """Count the controls of each offer: its own pick-holdouts, and the controls of every trial."""
    control = evidence.offer == NO_OFFER
    shared = control & (evidence.stratum != PICK_HOLDOUTS)
    own = [control & ~shared & (evidence.compared_offer == offer) for offer in range(offers)]
    return _count(evidence, probability, [shared | mine for mine in own])


def _count(evidence: Evidence, probability: Floats, chosen: list[NDArray[np.bool_]]) -> Counts:
    applies = evidence.design > 0
    cells = [[rows & applies[:, column] for column in range(applies.shape[1])] for rows in chosen]
    return Counts(
        np.array([[int(cell.sum()) for cell in row] for row in cells]),
        np.array([[int(evidence.has_churned[cell].sum()) for cell in row] for row in cells]),
        np.array([[float(probability[cell].sum()) for cell in row] for row in cells]),
    )
