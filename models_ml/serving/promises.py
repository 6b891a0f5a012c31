"""What the service has promised since the run was published: open episodes, money and slots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from models_ml.decisions.limits import Limits

NO_ACTION = "no_action"


@dataclass(frozen=True)
class Promise:
    """An episode that the service opened: the decision holds until ``ends_on``.

    ``cost_cents`` is the expected cost of what is done, 0 where the customer is left alone; ``decision`` holds the
    columns of the answer.
    """

    action_id: str
    customer_id: str
    as_of_date: date
    ends_on: date
    valid_to: date
    action: str
    cost_cents: float
    decision: Mapping[str, Any]

    @classmethod
    def of(cls, decision: Mapping[str, Any], horizon_days: int) -> Promise:
        """Return the promise that a decision makes; its days are dates."""
        day, valid_to = decision["as_of_date"], decision["valid_to"]
        cost = decision["expected_cost"]
        return cls(
            decision["action_id"],
            decision["customer_id"],
            day,
            day + timedelta(days=horizon_days),
            valid_to,
            decision["action"],
            0.0 if cost is None else float(np.rint(cost * 100)),
            decision,
        )


class Promises:
    """The promises that are open, and what they leave of a run's limits.

    Parameters
    ----------
    restored : iterable of Promise
        Those that the log holds; of one customer the latest counts, since it was made when the others had ended.
    """

    def __init__(self, restored: Iterable[Promise] = ()) -> None:
        self._open: dict[str, Promise] = {}
        for promise in restored:
            known = self._open.get(promise.customer_id)
            if known is None or promise.as_of_date > known.as_of_date:
                self._open[promise.customer_id] = promise
        self._counted: frozenset[str] = frozenset()
        self._offers: tuple[str, ...] = ()
        self._as_of_date = date.min
        self._limits: Limits | None = None

    @property
    def limits(self) -> Limits:
        """What is left of the run's limits, money in cents.

        Raises
        ------
        RuntimeError
            If no run has begun.
        """
        if self._limits is None:
            raise RuntimeError("no run has begun")
        return self._limits

    @property
    def number(self) -> int:
        """Number of open promises that the run does not know."""
        return sum(self._is_open(promise) for promise in self._open.values())

    def begin_run(
        self, limits: Limits, offers: tuple[str, ...], as_of_date: date, counted: frozenset[str]
    ) -> None:
        """Take up the limits of a run (money in cents); it has ``counted`` the promises of these ids itself."""
        self._limits, self._offers = limits, offers
        self._as_of_date, self._counted = as_of_date, counted
        self._open = {
            customer: promise for customer, promise in self._open.items() if promise.ends_on > as_of_date
        }
        for promise in self._open.values():
            self._use(promise)

    def find(self, customer_id: str) -> Promise | None:
        """Return the customer's open promise that the run does not know, if there is one."""
        promise = self._open.get(customer_id)
        return promise if promise is not None and self._is_open(promise) else None

    def add(self, promise: Promise) -> None:
        """Open an episode and take its money and slot."""
        self._open[promise.customer_id] = promise
        self._use(promise)

    def _is_open(self, promise: Promise) -> bool:
        return promise.action_id not in self._counted and promise.ends_on > self._as_of_date

    def _use(self, promise: Promise) -> None:
        """Take what int_month_limits would count of the promise: of this month, not lapsed, not counted yet."""
        is_of_month = (promise.as_of_date.year, promise.as_of_date.month) == (
            self._as_of_date.year,
            self._as_of_date.month,
        )
        if (
            self._is_open(promise)
            and is_of_month
            and promise.valid_to > self._as_of_date
            and promise.action in self._offers
        ):
            contacts = np.array([offer == promise.action for offer in self._offers], dtype=np.int64)
            self._limits = self.limits.after(promise.cost_cents, contacts)
