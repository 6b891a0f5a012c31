"""Deciding for millions of customers at once, compared with sorting the same rows once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from dbt_project_copy import Usage
from numpy.typing import NDArray

from benchmarks.measures import best, clocked, in_fresh_process
from models_ml.decisions.choose import choose_actions
from models_ml.decisions.limits import Limits
from models_ml.decisions.references import REFERENCE_POLICIES, Situation

COST_CENTS = np.array([25.0, 485.0, 985.0, 1200.0])
CHANNELS = ("email", "push", "email", "phone")
CONTACTED = np.array([0.04, 0.01, 0.005, 0.003])  # capacity of each offer, as a share of customers
BUDGET_CENTS = 14.0  # per customer: a little less than the cost of all capacities
TOUCH_CENTS = 10.0
CHUNK = 1_000_000


@dataclass(frozen=True)
class DecidingMeasures:
    """Usage of sorting, choosing and the five reference policies, and the plan's certificate."""

    sorting: Usage
    choosing: Usage
    references: Usage
    contacts: int
    value: float
    gap: float
    binding: int


def measure_deciding(customers: int, *, repeats: int) -> DecidingMeasures:
    """Decide for ``customers`` × 4 offers under a budget and four capacities, each run in a fresh process."""
    runs = [in_fresh_process(_choose, customers) for _ in range(repeats)]
    return DecidingMeasures(
        sorting=best(in_fresh_process(_sort, customers) for _ in range(repeats)),
        choosing=best(run.choosing for run in runs),
        references=in_fresh_process(_follow, customers),
        contacts=runs[0].contacts,
        value=runs[0].value,
        gap=runs[0].gap,
        binding=runs[0].binding,
    )


@dataclass(frozen=True)
class _Chosen:
    choosing: Usage
    contacts: int
    value: float
    gap: float
    binding: int


def _choose(customers: int) -> _Chosen:
    value, cost = _values(customers)
    plan, measure = clocked(
        lambda: choose_actions(
            value,
            cost,
            np.broadcast_to(True, value.shape),
            limits=limits_for(customers),
            touch_price=TOUCH_CENTS,
            tie_order=np.arange(customers),
        )
    )
    binding = sum(price > 0 for price in plan.prices.values())
    return _Chosen(measure, int(plan.contacts.sum()), plan.value / 100, plan.gap, binding)


def _sort(customers: int) -> Usage:
    value, cost = _values(customers)
    return clocked(lambda: np.argsort((value / cost).max(axis=1), kind="stable"))[1]


def _follow(customers: int) -> Usage:
    value, cost = _values(customers)
    rng = np.random.default_rng(2)
    situation = Situation(
        value,
        cost,
        np.broadcast_to(True, value.shape),
        rng.random(customers),
        rng.random(customers) * 50_000,
        limits_for(customers),
    )
    return clocked(lambda: [follow(situation).value for follow in REFERENCE_POLICIES.values()])[1]


def _values(customers: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return values and costs (n, 4) in whole cents."""
    value = np.empty((customers, len(COST_CENTS)))
    start = 0
    for chunk in value_chunks(customers):
        value[start : start + len(chunk)] = chunk
        start += len(chunk)
    return value, np.broadcast_to(COST_CENTS, value.shape)


def value_chunks(customers: int) -> Iterator[NDArray[np.float64]]:
    """Yield values (at most CHUNK, 4) in whole cents, the same every time: skewed, heterogeneous, harmful for some."""
    rng = np.random.default_rng(1)
    for start in range(0, customers, CHUNK):
        number = min(CHUNK, customers - start)
        at_stake = rng.beta(1, 12, (number, 1)) * rng.lognormal(9.6, 0.8, (number, 1))
        saved = rng.normal([0.03, 0.06, 0.1, 0.15], [0.05, 0.09, 0.12, 0.15], (number, 4))
        yield np.rint(at_stake * saved - COST_CENTS)


def limits_for(customers: int) -> Limits:
    """Return a budget and four capacities of which several bind, in proportion to the number of customers."""
    return Limits(
        budget=float(round(customers * BUDGET_CENTS)),
        offer_capacity=np.floor(customers * CONTACTED),
        channel_capacity={name: float("inf") for name in CHANNELS},
        offer_channel=CHANNELS,
    )
