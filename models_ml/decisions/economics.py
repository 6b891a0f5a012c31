"""What contacts of customers are worth: the one function that values offers, from rows of the warehouse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from models_ml.decisions.acceptance_rates import acceptance_probability
from models_ml.decisions.policy import DecisionInputs, Policy
from models_ml.decisions.valuation import Costs, OfferValues, checked, value_offers
from models_ml.errors import BayesPilotError

DAYS_PER_MONTH = 30.0  # monthly_revenue is money per 30 days
DAYS_PER_YEAR = 365.0

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def customer_value(monthly_revenue: ArrayLike, churn_probability: ArrayLike, policy: Policy) -> Floats:
    """Return the margin that is lost if the customer leaves within the horizon, discounted to the as_of_date.

    Time is cut into periods of H = ``horizon_days``; period 0 is the horizon itself. A customer who leaves in a
    period still brings the margin of that period, so leaving in period 0 costs the margin of periods 1, 2, … up
    to day W = ``value_horizon_days``. A customer who stays now leaves in each later period with the same churn
    probability p, so that period j is reached with probability (1 − p)^(j − 1):

        V = Σ_{j ≥ 1, jH < W}  (1 − p)^(j − 1) · m · d_j · (1 + r)^(−(jH + d_j / 2) / 365)

    with m = max(monthly_revenue, 0) · margin_rate / 30 the margin per day, d_j = min(H, W − jH) the days of
    the period (the last one is cut at W) and r the annual discount rate, applied at the middle of the period.

    At p = 1 the value is the margin of one period, at p = 0 the discounted margin of every day from H to W.
    Negative revenue (more returned than bought) counts as 0: losing a customer never counts as a gain.

    Parameters
    ----------
    monthly_revenue : array-like of shape (n,)
        Money per 30 days, finite.
    churn_probability : array-like of shape (n,)
        Probability in [0, 1] of churn within the horizon without contact.
    policy : Policy
        Gives margin_rate, horizon_days, value_horizon_days and annual_discount_rate.

    Returns
    -------
    ndarray of shape (n,)
        Money, ≥ 0.

    Raises
    ------
    BayesPilotError
        When revenue is not finite or a probability lies outside [0, 1].

    Examples
    --------
    Thirty a month at a margin of one half, horizon 30 days, value over 90 days, no discounting: two periods
    of 15 each, the second reached with probability 1 − p.

    >>> from types import SimpleNamespace
    >>> terms = SimpleNamespace(
    ...     margin_rate=0.5, horizon_days=30, value_horizon_days=90, annual_discount_rate=0.0)
    >>> customer_value([30.0, 30.0, 30.0, -5.0], [0.0, 0.4, 1.0, 0.4], terms).tolist()
    [30.0, 24.0, 15.0, 0.0]
    """
    revenue = checked("monthly_revenue", monthly_revenue, -1e300, 1e300)
    stays = 1.0 - checked("churn_probability", churn_probability, 0.0, 1.0)
    horizon, last_day = policy.horizon_days, policy.value_horizon_days
    days_of_value = np.zeros_like(stays)
    for start in reversed(range(horizon, last_day, horizon)):  # Horner's rule, the last period first
        days = min(horizon, last_day - start)
        middle = start + days / 2
        discounted = days * (1.0 + policy.annual_discount_rate) ** (-middle / DAYS_PER_YEAR)
        days_of_value = discounted + stays * days_of_value
    return np.maximum(revenue, 0.0) * policy.margin_rate / DAYS_PER_MONTH * days_of_value


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

    ``monthly_revenue`` (n,) is money per 30 days, ``signals`` (n, s) reason signals in the order of the effects.
    ``contact_cost`` and ``incentive_cost`` (n, k) are money, ``allowed`` (n, k) the offers that may be made; costs of
    the others are 0 and mean nothing.
    """

    monthly_revenue: Floats
    signals: Floats
    contact_cost: Floats
    incentive_cost: Floats
    allowed: Bools


def needed_columns(inputs: DecisionInputs) -> list[str]:
    """Return the columns from which `read_figures` reads."""
    contact, incentive = cost_columns(len(inputs.offers))
    signals = [f"signal_{signal}" for signal in inputs.effects.signals]
    return ["monthly_revenue", "offers_allowed", *signals, *contact, *incentive]


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
    return CustomerFigures(
        _columns(rows, ["monthly_revenue"])[:, 0],
        _columns(rows, [f"signal_{signal}" for signal in inputs.effects.signals]),
        contact,
        incentive,
        allowed,
    )


def _columns(rows: pa.RecordBatch | pa.Table, names: list[str]) -> Floats:
    """Return numeric columns, nulls as NaN, shape (n, columns)."""
    columns = [rows.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False) for name in names]
    return np.column_stack(columns) if columns else np.empty((rows.num_rows, 0))


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
        Policy, offers, their effects and how often they are accepted.

    Raises
    ------
    BayesPilotError
        When a number is missing or out of range.
    """
    acceptance = acceptance_probability(_acceptance_features(customers, inputs), inputs.acceptance)
    return value_offers(
        churn_probability,
        customer_value(customers.monthly_revenue, churn_probability, inputs.policy),
        customers.signals,
        costs=Costs(customers.contact_cost, customers.incentive_cost, acceptance),
        beliefs=inputs.effects,
    )


def _acceptance_features(customers: CustomerFigures, inputs: DecisionInputs) -> Floats:
    """Return the columns of the signals that the acceptance model names."""
    signals = list(inputs.effects.signals)
    return customers.signals[:, [signals.index(name) for name in inputs.acceptance.features]]
