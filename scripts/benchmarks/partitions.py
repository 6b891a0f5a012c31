"""A plan for more customers than a driver holds: prices from a sample, applied by partition, and repaired.

Three steps, none of which holds all customers:

1. The prices of the limits come from a sample, with limits in proportion to it.
2. Each partition applies them, and the prices that other samples would have given: a customer whose best option is the
   same at all of them is settled. What settled customers use is added up. The few others, the *contested* ones, go to
   the driver.
3. The driver plans for the contested customers with what is left of the limits, by the function that plans for all of
   them on one machine. So every limit holds exactly.

Prices of a sample also bound what any plan can earn (weak duality: Σ of every customer's best option after prices, plus
prices times limits), so that the gap is known without the plan of all customers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from dbt_project_copy import Usage
from numpy.typing import NDArray

from benchmarks.deciding import COST_CENTS, TOUCH_CENTS, limits_for, value_chunks
from benchmarks.measures import clocked, in_fresh_process
from models_ml.decisions.choose import Plan, choose_actions
from models_ml.decisions.limits import Limits
from models_ml.errors import BayesPilotError

Floats = NDArray[np.float64]

DEVIATIONS = 4.0  # standard errors by which a limit of the sample may be off


@dataclass(frozen=True)
class Settled:
    """What one partition returns: usage and value of settled customers, and its contested customers.

    ``spend`` and ``steered_value`` are money in cents, ``contacts`` (k,); ``bound`` is Σ of the best option after
    prices, ``contested`` (c, k) the values of the contested customers.
    """

    spend: float
    contacts: NDArray[np.int64]
    steered_value: float
    bound: float
    contested: Floats


@dataclass(frozen=True)
class PartitionedPlan:
    """Totals of a plan by partition, money in cents, and what the driver held of it.

    ``sample`` and ``contested`` count customers; ``gap`` is (bound − steered_value) / bound. ``spend`` and ``contacts``
    (k,) stay within the limits.
    """

    sample: int
    contested: int
    steered_value: float
    bound: float
    spend: float
    contacts: NDArray[np.int64]

    @property
    def gap(self) -> float:
        """How far the plan can be from the best one, as a share of the bound."""
        return (self.bound - self.steered_value) / self.bound


@dataclass(frozen=True)
class PartitionMeasures:
    """Usage and result of the plan by partition, and of the plan of all customers at once (None: not made)."""

    partitioned: Usage
    plan: PartitionedPlan
    whole: Usage | None
    whole_value: float | None


def measure_partitions(customers: int, sample_one_in: int, *, with_whole: bool) -> PartitionMeasures:
    """Plan for ``customers`` × 4 offers by partition, and for all at once where asked, each in a fresh process."""
    plan, used = in_fresh_process(_clocked_partitions, customers, sample_one_in)
    whole = in_fresh_process(_clocked_whole, customers) if with_whole else None
    return PartitionMeasures(used, plan, whole and whole[1], whole and whole[0])


def _clocked_partitions(customers: int, one_in: int) -> tuple[PartitionedPlan, Usage]:
    return clocked(lambda: plan_by_partition(customers, limits_for(customers), one_in))


def _clocked_whole(customers: int) -> tuple[float, Usage]:
    plan, used = clocked(lambda: _plan(np.concatenate(list(value_chunks(customers))), limits_for(customers)))
    return plan.steered_value, used


def plan_by_partition(customers: int, limits: Limits, sample_one_in: int) -> PartitionedPlan:
    """Plan for all customers; money in cents.

    Parameters
    ----------
    customers : int
    limits : Limits
    sample_one_in : int
        One customer of so many is in the sample.

    Raises
    ------
    BayesPilotError
        When settled customers alone use more than a limit: prices of the sample are further off than expected.
    """
    sample = np.concatenate([chunk[::sample_one_in] for chunk in value_chunks(customers)])
    share = len(sample) / customers
    found = _plan(sample, limits.scaled(share))
    low, high = _price_range(sample, limits.scaled(share), found)
    parts = [_settled(value, low, high, _prices(found, limits)) for value in value_chunks(customers)]
    spend = sum(part.spend for part in parts)
    contacts = np.sum([part.contacts for part in parts], axis=0)
    _check_within(spend, contacts, limits)
    contested = np.concatenate([part.contested for part in parts])
    rest = _plan(contested, limits.after(spend, contacts))
    return PartitionedPlan(
        len(sample),
        len(contested),
        sum(part.steered_value for part in parts) + rest.steered_value,
        sum(part.bound for part in parts) + _worth_of_limits(found, limits),
        spend + rest.spend,
        contacts + rest.contacts,
    )


def _plan(value: Floats, limits: Limits) -> Plan:
    return choose_actions(
        value,
        np.broadcast_to(COST_CENTS, value.shape),
        np.broadcast_to(True, value.shape),
        limits=limits,
        touch_price=TOUCH_CENTS,
        tie_order=np.arange(len(value)),
    )


def _prices(plan: Plan, limits: Limits) -> Floats:
    """Return what a contact by each offer pays: its money and its places, at the plan's prices, shape (k,)."""
    pairs = zip(limits.offer_names, limits.offer_channel, strict=True)
    places = [plan.prices[f"offer {name}"] + plan.prices[f"channel {channel}"] for name, channel in pairs]
    return np.asarray(plan.budget_price * COST_CENTS + places)


def _price_range(sample: Floats, limits: Limits, found: Plan) -> tuple[Floats, Floats]:
    """Return the lowest and highest price of each offer, (k,) and (k,), that chance in the sample explains.

    A limit that carries n contacts of the sample carries n ± √n of another sample: prices are found again with each
    limit DEVIATIONS such errors lower, and higher.
    """

    def off_by(deviations: float) -> Limits:
        def factor(contacts: float) -> float:
            return max(1.0 + deviations / np.sqrt(max(contacts, 1.0)), 0.0)

        return replace(
            limits,
            budget=limits.budget * factor(float(found.contacts.sum())),
            offer_capacity=np.array([room * factor(room) for room in limits.offer_capacity]),
            channel_capacity={name: room * factor(room) for name, room in limits.channel_capacity.items()},
        )

    prices = [_prices(_plan(sample, off_by(sign * DEVIATIONS)), limits) for sign in (-1.0, 0.0, 1.0)]
    return np.min(prices, axis=0), np.max(prices, axis=0)


def _settled(value: Floats, low: Floats, high: Floats, prices: Floats) -> Settled:
    """Apply a range of prices to one partition: settled is whose best option is the same at all of them."""
    at_worst, at_best, worth = (_after(value, each) for each in (high, low, prices))
    choice = at_worst.argmax(axis=1)
    rows = np.arange(len(value))
    sure = at_worst[rows, choice]
    at_best[rows, choice] = -np.inf
    is_settled = sure > at_best.max(axis=1)
    done = np.flatnonzero(is_settled & (choice < value.shape[1]))
    contacts = np.bincount(choice[done], minlength=value.shape[1])
    return Settled(
        float(contacts @ COST_CENTS),
        contacts,
        float((value[done, choice[done]] - TOUCH_CENTS).sum()),
        float(worth.max(axis=1).sum()),
        value[~is_settled],
    )


def _after(value: Floats, prices: Floats) -> Floats:
    """Return what each option adds after prices, shape (n, k + 1); the last is no action, 0."""
    gain = value - TOUCH_CENTS
    return np.column_stack([np.where(gain > 0, gain - prices, -np.inf), np.zeros(len(value))])


def _worth_of_limits(plan: Plan, limits: Limits) -> float:
    """Return Σ price × limit: what is beside the customers' best options in the dual value. No price, no term."""
    amounts = {"budget": limits.budget}
    amounts |= {
        f"offer {name}": float(room)
        for name, room in zip(limits.offer_names, limits.offer_capacity, strict=True)
    }
    amounts |= {f"channel {name}": room for name, room in limits.channel_capacity.items()}
    return sum(price * amounts[name] for name, price in plan.prices.items() if price > 0)


def _check_within(spend: float, contacts: NDArray[np.int64], limits: Limits) -> None:
    over = [f"budget {spend:,.0f} of {limits.budget:,.0f}"] if spend > limits.budget else []
    over += [
        f"offer {name} {made:,} of {room:,.0f}"
        for name, made, room in zip(limits.offer_names, contacts, limits.offer_capacity, strict=True)
        if made > room
    ]
    made_on = dict.fromkeys(limits.channel_capacity, 0)
    for channel, made in zip(limits.offer_channel, contacts.tolist(), strict=True):
        made_on[channel] += made
    over += [
        f"channel {name} {made_on[name]:,} of {room:,.0f}"
        for name, room in limits.channel_capacity.items()
        if made_on[name] > room
    ]
    if over:
        raise BayesPilotError(
            "settled customers alone use more than a limit",
            where="the plan by partition",
            values=over,
            next_step="take a larger sample",
        )
