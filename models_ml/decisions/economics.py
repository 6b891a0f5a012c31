"""What contacts of customers are worth: the one function that values offers, from rows of the warehouse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from models_ml.decisions.offer_beliefs import acceptance_probability
from models_ml.decisions.policy import DecisionInputs
from models_ml.decisions.retention_curves import customer_value
from models_ml.decisions.valuation import Costs, OfferValues, value_offers
from models_ml.errors import BayesPilotError

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


TERM_COLUMNS = ("monthly_revenue", "renewal_interval_days", "days_to_renewal")


def cost_columns(offers: int) -> tuple[list[str], list[str]]:
    """Return the columns of contact and incentive costs, one per offer in the order of ``offer_position``.

    Examples
    --------
    >>> cost_columns(2)
    (['contact_cost_0', 'contact_cost_1'], ['incentive_cost_0', 'incentive_cost_1'])
    """
    return [f"contact_cost_{at}" for at in range(offers)], [f"incentive_cost_{at}" for at in range(offers)]


@dataclass(frozen=True)
class CustomerFigures:
    """What valuing k offers needs to know of n customers, besides their churn probability.

    ``monthly_revenue`` (n,) is money per 30 days. ``renewal_interval_days`` (n,) is the time between two bills where it
    is longer than the horizon, else 0, and ``days_to_renewal`` (n,) that to the next one. ``signals`` (n, s) are reason
    signals in the order of the effects.
    ``contact_cost`` and ``incentive_cost`` (n, k) are money, ``allowed`` (n, k) the offers that may be made; costs of
    the others are 0 and mean nothing.
    """

    monthly_revenue: Floats
    renewal_interval_days: Floats
    days_to_renewal: Floats
    signals: Floats
    contact_cost: Floats
    incentive_cost: Floats
    allowed: Bools


def needed_columns(inputs: DecisionInputs) -> list[str]:
    """Return the columns from which `read_figures` reads."""
    contact, incentive = cost_columns(len(inputs.offers))
    signals = [f"signal_{signal}" for signal in inputs.effects.signals]
    return [*TERM_COLUMNS, "offers_allowed", *signals, *contact, *incentive]


def read_figures(
    rows: pa.RecordBatch | pa.Table, inputs: DecisionInputs, where: str = "int_decision_candidates"
) -> CustomerFigures:
    """Read the figures of int_decision_candidates or training_examples.

    Raises
    ------
    BayesPilotError
        When a column is missing, or an allowed offer has no cost for a customer.
    """
    missing = sorted(set(needed_columns(inputs)) - set(rows.schema.names))
    if missing:
        raise BayesPilotError(
            "columns are missing",
            where=where,
            values=missing,
            next_step="name the signals of offer_effect_priors.csv as int_reason_signals does, then run dbt build",
        )
    offers = len(inputs.offers)
    bits = rows.column("offers_allowed").fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    allowed = (bits[:, None] >> np.arange(offers) & 1).astype(bool)
    contact, incentive = (np.where(allowed, _columns(rows, names), 0.0) for names in cost_columns(offers))
    _check_costs(contact, incentive, inputs, where)
    revenue, interval, to_renewal = _columns(rows, list(TERM_COLUMNS)).T
    return CustomerFigures(
        revenue,
        interval,
        to_renewal,
        _columns(rows, [f"signal_{signal}" for signal in inputs.effects.signals]),
        contact,
        incentive,
        allowed,
    )


def _columns(rows: pa.RecordBatch | pa.Table, names: list[str]) -> Floats:
    """Return numeric columns, nulls as NaN, shape (n, columns)."""
    found = np.empty((rows.num_rows, len(names)))
    for at, name in enumerate(names):
        column = rows.column(name)
        found[:, at] = (column if column.type == pa.float64() else column.cast(pa.float64())).to_numpy(
            zero_copy_only=False
        )
    return found


def _check_costs(contact: Floats, incentive: Floats, inputs: DecisionInputs, where: str) -> None:
    for name, cost in (("contact_cost", contact), ("incentive_cost", incentive)):
        wrong = ~((cost >= 0) & (cost < np.inf))
        if wrong.any():
            first = int(np.flatnonzero(wrong.any(axis=0))[0])
            offer = inputs.offers[first]
            raise BayesPilotError(
                f"{name} of offer {offer.offer} is missing or below 0 for {int(wrong[:, first].sum())} customers",
                where=where,
                values=cost[wrong[:, first], first].tolist(),
                next_step=f"correct the expression {getattr(offer, name)!r} in seeds/<source>/offers.csv",
            )


def value_figures(
    churn_probability: ArrayLike, customers: CustomerFigures, inputs: DecisionInputs
) -> OfferValues:
    """Value every offer for every customer: in the build, in training, in what-if runs and in simulations.

    Parameters
    ----------
    churn_probability : array-like of shape (n,)
        In [0, 1], within the horizon if left alone.
    customers : CustomerFigures
    inputs : DecisionInputs
        Policy, offers, their effects, how often they are accepted, and how long customers stay.

    Raises
    ------
    BayesPilotError
        When a number is missing or out of range.
    """
    acceptance = acceptance_probability(acceptance_features(customers, inputs), inputs.acceptance)
    return value_offers(
        churn_probability,
        values_lost(churn_probability, customers, inputs),
        customers.signals,
        costs=Costs(customers.contact_cost, customers.incentive_cost, acceptance),
        beliefs=inputs.effects,
    )


def values_lost(churn_probability: ArrayLike, customers: CustomerFigures, inputs: DecisionInputs) -> Floats:
    """Return V (n,), the margin lost if the customer leaves within the horizon and is never contacted again, money."""
    policy = inputs.policy
    return customer_value(
        inputs.curves,
        churn_probability,
        customers.monthly_revenue,
        customers.renewal_interval_days,
        customers.days_to_renewal,
        margin_rate=policy.margin_rate,
        value_horizon_days=policy.value_horizon_days,
        annual_discount_rate=policy.annual_discount_rate,
    )


def acceptance_features(customers: CustomerFigures, inputs: DecisionInputs) -> Floats:
    """Return the columns (n, f) of the signals that the acceptance model names."""
    signals = list(inputs.effects.signals)
    return customers.signals[:, [signals.index(name) for name in inputs.acceptance.features]]
