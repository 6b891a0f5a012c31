"""How long each customer of the demo world would truly stay, were it saved from leaving in the month to come."""

from __future__ import annotations

import numpy as np
from demo_world.contacts import Contacts
from demo_world.economy import HORIZON_DAYS, NO_ACTION
from demo_world.month import step_month
from demo_world.probabilities import churn_probability, renews_this_month
from demo_world.state import State
from numpy.typing import NDArray

PATHS = 8
DAYS_PER_YEAR = 365.0
Floats = NDArray[np.float64]


def days_kept(
    state: State, *, value_horizon_days: int, annual_discount_rate: float, paths: int = PATHS
) -> Floats:
    """Return the discounted days after the horizon that customers would stay if they do not leave within it.

    Every customer is followed from its own state, without contacts and without leaving; the hidden probabilities of
    staying are multiplied month by month and averaged over paths of what happens to the customer:

        Σ_k d_k · E[Π_{j<k} (1 − p_j)],

    the truth of V / m (:func:`models_ml.decisions.retention_curves.customer_value`), by the same convention: a month in
    which a customer leaves counts whole.

    Parameters
    ----------
    state : State
        The world at the start of the month to come.
    value_horizon_days : int
        Days after the as_of_date beyond which nothing counts.
    annual_discount_rate : float
        Share per year.
    paths : int
        Futures simulated per customer.

    Returns
    -------
    ndarray of shape (customers,)
        In the order of ``state``; without meaning for those who are not subscribed.
    """
    kept = np.zeros(state.customers)
    for path in range(paths):
        rng = np.random.default_rng([path, int(state.month.astype(int))])
        future, reached, begins = state, np.ones(state.customers), 0
        while begins < value_horizon_days:
            ends = begins + future.days
            counted_from, counted_to = max(begins, HORIZON_DAYS), min(ends, value_horizon_days)
            discount = (1.0 + annual_discount_rate) ** (-(counted_from + counted_to) / 2 / DAYS_PER_YEAR)
            kept += reached * discount * max(counted_to - counted_from, 0)
            if begins:
                reached *= _stays(future)
            future, _ = step_month(future, no_contacts(), rng, may_leave=False)
            begins = ends
    return kept / paths


def no_contacts() -> Contacts:
    """Return a month without any contact."""
    none = np.empty(0, dtype=np.int64)
    return Contacts(
        position=none,
        offer=none.astype(np.int8),
        day_offset=none,
        is_randomized=none.astype(bool),
        propensity=np.empty(0),
        action_id=(),
    )


def _stays(state: State) -> Floats:
    """Return the probability of staying through the month; a yearly customer who may renew decides once."""
    alone = np.full(state.customers, NO_ACTION, dtype=np.int8)
    decides_once = state.account.is_annual & renews_this_month(state)
    exponent = np.where(decides_once, 1.0, state.days / HORIZON_DAYS)
    return np.asarray((1.0 - churn_probability(state, alone)) ** exponent)
