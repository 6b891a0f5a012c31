"""What-if plans: decide again as the last build did, with another budget or capacity."""

from __future__ import annotations

import calendar
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from fractions import Fraction
from typing import Any

import numpy as np

from models_ml.decisions.decide import CustomersAtRisk, Decisions, PlanSummary, decide, value_customers
from models_ml.decisions.limits import Limits, limits_of
from models_ml.decisions.planned_actions import PlanTables, read_customers, read_inputs
from models_ml.decisions.policy import DecisionInputs, Offer, Policy
from models_ml.errors import BayesPilotError

CURVE_POINTS = 21
CURVE_CUSTOMERS = 4_000_000  # decided in total for one curve: seconds; larger populations get fewer points

TABLES = PlanTables(**{field.name: f"from {field.name}" for field in fields(PlanTables)})


@dataclass(frozen=True)
class MonthLimit:
    """One limit of the calendar month: ``kind`` budget, offer or channel; earlier runs have ``used`` some of it.

    ``used_in_trials`` is how much of that went into trials.
    """

    kind: str
    name: str
    monthly: float
    used: float
    used_in_trials: float

    def available(self, share: Fraction) -> float:
        """Return what a run may still use when ``share`` (0 to 1) of the month's limit is open.

        Money is rounded to cents and contacts are rounded down, as in int_month_limits.

        Examples
        --------
        >>> MonthLimit("budget", "EUR", 100.0, 20.5, 0.0).available(Fraction(1, 2))
        29.5
        >>> MonthLimit("offer", "call", 84.0, 1.0, 0.0).available(Fraction(17, 28))  # exactly 51 contacts
        50.0
        >>> MonthLimit("offer", "call", 10.0, 0.0, 0.0).available(Fraction(1, 4))  # 2.5 contacts
        2.0
        >>> MonthLimit("offer", "call", 1.0, 2.0, 0.0).available(Fraction(1))
        0.0
        """
        exact = Fraction(self.monthly) * share
        opened = round(float(exact), 2) if self.kind == "budget" else float(math.floor(exact))
        return max(opened - self.used, 0.0)

    def available_for_trials(self, share: Fraction, learning_share: float) -> float:
        """Return what a trial may still use: its share of what is open, less what trials used.

        Money is rounded to cents and contacts are rounded up, so that scarce offers are tried too.

        Examples
        --------
        >>> MonthLimit("budget", "EUR", 100.0, 20.0, 4.0).available_for_trials(Fraction(1), 0.1)
        6.0
        >>> MonthLimit("offer", "call", 10.0, 9.5, 0.0).available_for_trials(Fraction(1, 2), 0.1)
        0.0
        """
        exact = Fraction(self.monthly) * share * Fraction(str(learning_share))
        opened = round(float(exact), 2) if self.kind == "budget" else float(math.ceil(exact))
        return min(max(opened - self.used_in_trials, 0.0), self.available(share))


@dataclass(frozen=True)
class Month:
    """All limits of the month, and the share of them that pacing opens on the run's date."""

    limits: tuple[MonthLimit, ...]
    share: Fraction

    def find(self, name: str) -> MonthLimit:
        """Return the limit of that name: ``budget``, an offer or a channel (an offer where both exist).

        Raises
        ------
        BayesPilotError
            If there is none.
        """
        if name == "budget":
            return next(limit for limit in self.limits if limit.kind == "budget")
        capacities = [limit for limit in self.limits if limit.kind != "budget"]
        kind, _, rest = name.rpartition(":")
        found = [limit for limit in capacities if limit.name == rest and (not kind or limit.kind == kind)]
        if not found:
            raise BayesPilotError(
                f"there is no capacity of the name {name}",
                values=[limit.name for limit in capacities],
                next_step="name an offer or a channel, or both as in offer:call, channel:phone",
            )
        return min(found, key=lambda limit: limit.kind != "offer")

    def with_limit(self, limit: MonthLimit, monthly: float) -> Month:
        """Return the month with another amount of one limit."""
        changed = tuple(replace(one, monthly=monthly) if one == limit else one for one in self.limits)
        return replace(self, limits=changed)

    def left(self, offers: Sequence[Offer]) -> Limits:
        """Return what a run may still use."""
        return self._limits(offers, lambda limit: limit.available(self.share))

    def left_for_trials(self, offers: Sequence[Offer], learning_share: float) -> Limits:
        """Return what a trial may still use."""
        return self._limits(offers, lambda limit: limit.available_for_trials(self.share, learning_share))

    def _limits(self, offers: Sequence[Offer], amount: Callable[[MonthLimit], float]) -> Limits:
        named = {
            (limit.kind, "" if limit.kind == "budget" else limit.name): amount(limit) for limit in self.limits
        }
        return limits_of(named, offers)


@dataclass(frozen=True)
class WhatIfInputs:
    """Everything that the last build decided from."""

    as_of_date: date
    decision: DecisionInputs
    month: Month
    customers: CustomersAtRisk


@dataclass(frozen=True)
class Answer:
    """The plan of a run if one limit were ``monthly`` a month, ``available`` of which is still open."""

    monthly: float
    available: float
    summary: PlanSummary


@dataclass(frozen=True)
class Curve:
    """Answers for one limit, in rising order: those asked for, and all that are drawn."""

    limit: MonthLimit
    asked: tuple[Answer, ...]
    drawn: tuple[Answer, ...]


def read_what_if_inputs(connection: Any) -> WhatIfInputs:  # noqa: ANN401 - a DuckDB connection
    """Read customers, decision inputs and limits of the last build.

    Raises
    ------
    BayesPilotError
        If there was no customer to decide on.
    """
    (as_of_date,) = connection.execute("select max(as_of_date) from int_decision_candidates").fetchall()[0]
    if as_of_date is None:
        raise BayesPilotError(
            "the last build had no customer to decide on",
            where="int_decision_candidates",
            next_step="dbt build (without --empty)",
        )
    decision = read_inputs(connection, TABLES)
    limits = connection.execute(
        "select limit_type, limit_name, monthly_limit, used, used_in_trials from int_month_limits order by all"
    ).fetchall()
    month = Month(tuple(MonthLimit(*row) for row in limits), open_share(as_of_date, decision.policy))
    customers = value_customers(read_customers(connection, TABLES), decision)
    return WhatIfInputs(as_of_date, decision, month, customers)


def open_share(as_of_date: date, policy: Policy) -> Fraction:
    """Return the share of the month's limits that pacing opens: 1, or the days of the month until this one.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> open_share(date(2026, 11, 15), SimpleNamespace(pacing="linear"))
    Fraction(1, 2)
    """
    if policy.pacing == "none":
        return Fraction(1)
    return Fraction(as_of_date.day, calendar.monthrange(as_of_date.year, as_of_date.month)[1])


def decide_again(inputs: WhatIfInputs, month: Month) -> Decisions:
    """Decide as the build does, under other limits of the month."""
    offers, share = inputs.decision.offers, inputs.decision.policy.learning_share
    return decide(inputs.customers, inputs.decision, month.left(offers), month.left_for_trials(offers, share))


def ask(inputs: WhatIfInputs, limit: MonthLimit, monthly: float) -> Answer:
    """Decide as the build does, with one limit of the month changed."""
    available = replace(limit, monthly=monthly).available(inputs.month.share)
    return Answer(monthly, available, decide_again(inputs, inputs.month.with_limit(limit, monthly)).summary)


def draw_curve(inputs: WhatIfInputs, limit: MonthLimit, asked: Iterable[float]) -> Curve:
    """Answer every amount that is asked for, and as many between as a few seconds allow."""
    wanted = sorted(set(asked))
    amounts = sorted({*wanted, limit.monthly, *between(limit, wanted, inputs.customers.number)})
    answers = {amount: ask(inputs, limit, amount) for amount in amounts}
    return Curve(
        limit, tuple(answers[amount] for amount in wanted), tuple(answers[amount] for amount in amounts)
    )


def between(limit: MonthLimit, wanted: Sequence[float], customers: int) -> list[float]:
    """Return amounts from 0 to the largest that matters, whole numbers, at most 21.

    Examples
    --------
    >>> between(MonthLimit("offer", "call", 2.0, 0.0, 0.0), [4.0], customers=100)
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    points = min(CURVE_POINTS, CURVE_CUSTOMERS // max(customers, 1))
    highest = max([limit.monthly, *wanted])
    return (
        sorted({float(round(amount)) for amount in np.linspace(0.0, highest, points)}) if points > 1 else []
    )
