"""What contacts are truly worth: by the world's hidden truth, never by what BayesPilot believes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models_ml.decisions.economics import customer_value
from models_ml.decisions.policy import Policy
from models_ml.errors import BayesPilotError

Floats = NDArray[np.float64]
ALONE = "no_action"


@dataclass(frozen=True)
class Truth:
    """The hidden truth of n customers and k offers, for contacts on the day after the decision.

    Probabilities: ``churn_alone`` (n,), ``churn`` (n, k) and ``acceptance`` (n, k). Money: ``contact_cost``
    (n, k), ``incentive_cost`` (n, k) due on acceptance, ``monthly_margin`` (n,).
    """

    churn_alone: Floats
    churn: Floats
    acceptance: Floats
    contact_cost: Floats
    incentive_cost: Floats
    monthly_margin: Floats


def read_truth(table: pa.Table, customer_id: Sequence[str], offers: Sequence[str]) -> Truth:
    """Read the table of :func:`demo_world.truth.truth` for some customers and offers, in their order.

    Raises
    ------
    BayesPilotError
        When a customer is not a subscriber in the world, or an offer is unknown to it.
    """
    wanted = pa.array([int(each) for each in customer_id], pa.int64())

    def column(offer: str, name: str) -> Floats:
        rows = table.filter(pc.equal(table["offer"], offer))
        at = pc.index_in(wanted, value_set=rows["customer_id"].combine_chunks())
        if at.null_count:
            raise BayesPilotError(
                f"the world knows no truth for {at.null_count} customers under {offer}",
                where="the demo world",
                values=[customer_id[row] for row in np.flatnonzero(at.is_null())[:5]],
            )
        return np.asarray(
            rows[name].combine_chunks().take(at).cast(pa.float64()).to_numpy(zero_copy_only=False)
        )

    def columns(name: str) -> Floats:
        return np.column_stack([column(offer, name) for offer in offers])

    return Truth(
        churn_alone=column(ALONE, "churn_probability"),
        churn=columns("churn_probability"),
        acceptance=columns("acceptance_probability"),
        contact_cost=columns("contact_cost"),
        incentive_cost=columns("incentive_cost"),
        monthly_margin=column(ALONE, "monthly_margin"),
    )


def true_values(truth: Truth, policy: Policy) -> Floats:
    """Return what contacting each customer with each offer is truly worth, shape (n, k), money.

    The policy's own formula with the truth in place of its estimates,

        v_ia = (p0 − p_a) · V − c − q_a · g_ia,

    where p0 and p_a are the true probabilities of leaving within the horizon, q_a the true acceptance, and V
    is :func:`models_ml.decisions.economics.customer_value` of the true monthly margin at the true hazard p0:
    margin of the later periods up to ``value_horizon_days``, each reached with the chance of still being there.
    A month's fee counts as money per 30 days, as the policy counts it; add-on purchases are left out.
    """
    at_true_margin = dataclasses.replace(policy, margin_rate=1.0)
    lost = customer_value(truth.monthly_margin, truth.churn_alone, at_true_margin)
    saved = (truth.churn_alone[:, None] - truth.churn) * lost[:, None]
    return np.asarray(saved - truth.contact_cost - truth.acceptance * truth.incentive_cost)


def value_of(choice: NDArray[np.int64], values: Floats) -> float:
    """Return the sum of the values (n, k) of a choice (n,) of offers, −1 for nothing.

    Examples
    --------
    >>> value_of(np.array([1, -1, 0]), np.array([[1.0, 2.0], [4.0, 8.0], [16.0, 32.0]]))
    18.0
    """
    rows = np.flatnonzero(choice >= 0)
    return math.fsum(values[rows, choice[rows]].tolist())
