"""What-if plans: decide again as the last build did, with another budget or capacity."""

from __future__ import annotations

import calendar
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

import numpy as np

from models_ml.decisions.decide import CustomersAtRisk, Decisions, PlanSummary, decide, value_customers
from models_ml.decisions.limits import Limits, limits_of
from models_ml.decisions.planned_actions import PlanTables, read_customers, read_inputs
from models_ml.decisions.policy import DecisionInputs, Offer, Policy
from models_ml.errors import BayesPilotError

CURVE_POINTS = 21
CURVE_CUSTOMERS = 4_000_000  # decided in total for one curve: seconds; larger populations get fewer points

TABLES = PlanTables(**{field.name: f"from {field.name}" for field in fields(PlanTables)})


class OpenDays(NamedTuple):
    """The days of a month that have ``passed``, which open their part of its limits."""

    passed: int
    of_month: int


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

    def available(self, open_days: OpenDays) -> float:
        """Return what a run may still use when so many days of the month are open.

        Money is rounded to cents and contacts are rounded down, step by step as in int_month_limits.

        Examples
        --------
        >>> MonthLimit("budget", "EUR", 100.0, 20.5, 0.0).available(OpenDays(15, 30))
        29.5
        >>> MonthLimit("budget", "EUR", 1555.95, 0.0, 0.0).available(OpenDays(25, 30))  # half a cent up
        1296.63
        >>> MonthLimit("offer", "call", 84.0, 1.0, 0.0).available(OpenDays(17, 28))  # exactly 51 contacts
        50.0
        >>> MonthLimit("offer", "call", 10.0, 0.0, 0.0).available(OpenDays(7, 28))  # 2.5 contacts
        2.0
        >>> MonthLimit("offer", "call", 1.0, 2.0, 0.0).available(OpenDays(1, 1))
        0.0
        """
        paced = self.monthly * open_days.passed / open_days.of_month
        opened = _rounded(paced, 2) if self.kind == "budget" else float(math.floor(paced))
        return max(opened - self.used, 0.0)

    def available_for_trials(self, open_days: OpenDays, learning_share: float) -> float:
        """Return what a trial may still use: its share of what is open, less what trials used.

        Money is rounded to cents and contacts are rounded up, so that scarce offers are tried too.

        Examples
        --------
        >>> MonthLimit("budget", "EUR", 100.0, 20.0, 4.0).available_for_trials(OpenDays(1, 1), 0.1)
        6.0
        >>> MonthLimit("offer", "call", 10.0, 9.5, 0.0).available_for_trials(OpenDays(15, 30), 0.1)
        0.0
        """
        if self.kind == "budget":
            paced = self.monthly * open_days.passed / open_days.of_month
            opened = _rounded(paced * learning_share, 2)
        else:
            paced = self.monthly * open_days.passed * learning_share / open_days.of_month
            opened = float(math.ceil(_rounded(paced, 6)))
        return min(max(opened - self.used_in_trials, 0.0), self.available(open_days))


def _rounded(number: float, digits: int) -> float:
    """Round as DuckDB does, halves up; `round` takes a number such as 1296.625 to the even cent."""
    return float(Decimal(number).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


@dataclass(frozen=True)
class Month:
    """All limits of the month, and the days of it that pacing opens on the run's date."""

    limits: tuple[MonthLimit, ...]
    open_days: OpenDays

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
        return self._limits(offers, lambda limit: limit.available(self.open_days))

    def left_for_trials(self, offers: Sequence[Offer], learning_share: float) -> Limits:
        """Return what a trial may still use."""
        return self._limits(offers, lambda limit: limit.available_for_trials(self.open_days, learning_share))

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
    month = Month(tuple(MonthLimit(*row) for row in limits), open_days(as_of_date, decision.policy))
    customers = value_customers(read_customers(connection, TABLES), decision)
    return WhatIfInputs(as_of_date, decision, month, customers)


def open_days(as_of_date: date, policy: Policy) -> OpenDays:
    """Return the days of the month that pacing opens: all as one, or those until this day.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> open_days(date(2026, 11, 15), SimpleNamespace(pacing="linear"))
    OpenDays(passed=15, of_month=30)
    """
    if policy.pacing == "none":
        return OpenDays(1, 1)
    return OpenDays(as_of_date.day, calendar.monthrange(as_of_date.year, as_of_date.month)[1])


def decide_again(inputs: WhatIfInputs, month: Month) -> Decisions:
    """Decide as the build does, under other limits of the month."""
    offers, share = inputs.decision.offers, inputs.decision.policy.learning_share
    return decide(inputs.customers, inputs.decision, month.left(offers), month.left_for_trials(offers, share))


def ask(inputs: WhatIfInputs, limit: MonthLimit, monthly: float) -> Answer:
    """Decide as the build does, with one limit of the month changed."""
    available = replace(limit, monthly=monthly).available(inputs.month.open_days)
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
