"""What contacts of customers are worth: v = E[p_0 − p_o]·V − c − q·g, from rows of the warehouse.

`value_figures` is the one function that values offers, with costs of the customer's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from models_ml.decisions.offer_beliefs import (
    EffectBeliefs,
    acceptance_probability,
    relative_risk_and_sd,
)
from models_ml.decisions.policy import DecisionInputs
from models_ml.decisions.retention_curves import checked, customer_value
from models_ml.errors import BayesPilotError

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


TERM_COLUMNS = ("monthly_revenue", "renewal_interval_days", "days_to_renewal")

LARGEST_AMOUNT = 1e12  # money; beyond it, cents are no longer whole numbers of a double


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


@dataclass(frozen=True)
class Costs:
    """What contacting costs: ``contact`` and ``incentive`` are money per contact and per acceptance.

    ``acceptance`` is the probability that a contacted customer accepts. Each broadcasts to (n, k).
    """

    contact: Floats
    incentive: Floats
    acceptance: Floats

    @property
    def expected(self) -> Floats:
        """Expected cost of one contact, c + q·g."""
        return np.asarray(self.contact + self.acceptance * self.incentive)


@dataclass(frozen=True)
class OfferValues:
    """Economics of n customers × k offers, money in the policy's currency.

    ``expected_value``, ``expected_cost`` and ``relative_risk`` are (n, k), ``customer_value`` is (n,); ``effect_sd``
    (n, k) is how little is known of an effect, in log-odds.
    """

    expected_value: Floats
    expected_cost: Floats
    relative_risk: Floats
    customer_value: Floats
    effect_sd: Floats


def value_offers(
    churn_probability: ArrayLike,
    customer_value: ArrayLike,
    signals: ArrayLike,
    *,
    costs: Costs,
    beliefs: EffectBeliefs,
) -> OfferValues:
    """Value every offer for every customer.

    Parameters
    ----------
    churn_probability : array-like of shape (n,)
        In [0, 1], within the horizon if left alone.
    customer_value : array-like of shape (n,)
        Margin lost with the customer, money ≥ 0.
    signals : array-like of shape (n, s)
        Reason signals in the order of ``beliefs.signals``.
    costs : Costs
        Of the k offers, for each customer or for all.
    beliefs : EffectBeliefs

    Returns
    -------
    OfferValues
        The expected incentive includes what customers accept that would have stayed anyway. ``expected_cost`` is a
        read-only view where costs are the same for all customers.

    Raises
    ------
    BayesPilotError
        When a number is missing or out of range.

    Examples
    --------
    A call halves the odds of a customer who leaves with probability 1/2 and is worth 300; it costs 2, and a quarter of
    those called accept a credit of 40:

    >>> beliefs = EffectBeliefs(("call",), (), np.log([[0.5]]), np.zeros((1, 1)), np.zeros((1, 1), bool))
    >>> costs = Costs(np.array([2.0]), np.array([40.0]), np.array([0.25]))
    >>> found = value_offers([0.5], [300.0], np.empty((1, 0)), costs=costs, beliefs=beliefs)
    >>> found.expected_value.round(6).tolist(), found.expected_cost.tolist()
    ([[38.0]], [[12.0]])
    """
    alone = checked("churn_probability", churn_probability, 0.0, 1.0)
    worth = checked("customer_value", customer_value, 0.0, LARGEST_AMOUNT)
    shown = checked("a reason signal", signals, -1e6, 1e6).reshape(len(alone), len(beliefs.signals))
    for name in ("contact", "incentive"):
        checked(f"{name}_cost", getattr(costs, name), 0.0, LARGEST_AMOUNT)
    checked("the acceptance probability", costs.acceptance, 0.0, 1.0)
    risk, effect_sd = relative_risk_and_sd(alone, shown, beliefs)
    cost = np.broadcast_to(costs.expected, risk.shape)
    value = 1.0 - risk
    value *= (alone * worth)[:, None]
    value -= cost
    return OfferValues(value, cost, risk, worth, effect_sd)
