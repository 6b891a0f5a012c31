"""What a warehouse must keep to over many months: each decision once, the same when asked again or replayed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import duckdb
import numpy as np
import pyarrow as pa

from simulation.business import BuildTime, Business

HISTORY = "from retention_actions_history order by as_of_date, customer_id"
# What the moment of a build determines; everything else is the decision.
MOMENTS = ("decided_at", "updated_at", "dbt_invocation_id")
KEPT = """
    select count(*) as decisions, count(distinct action_id) as action_ids,
        count(distinct (customer_id, as_of_date)) as customers_and_dates,
        count(distinct as_of_date) as dates
    from retention_actions_history"""
LOGS = ("retention_actions_history", "retention_actions", "policy_runs", "retention_actions_deliverable")


@dataclass(frozen=True)
class Kept:
    """How many rows history holds, and how many distinct keys and dates they have."""

    decisions: int
    action_ids: int
    customers_and_dates: int
    dates: int

    @property
    def holds_each_once(self) -> bool:
        """Whether every decision is there once."""
        return self.decisions == self.action_ids == self.customers_and_dates


def kept(business: Business) -> Kept:
    """Count what history holds."""
    return Kept(**business.read(KEPT).to_pylist()[0])


def decisions(business: Business) -> pa.Table:
    """Return every decision of history, without what the moment of its build determines."""
    return business.read(HISTORY).drop_columns(list(MOMENTS))


def changed_by_rebuild(business: Business) -> list[str]:
    """Build the latest month once more and return the public tables of which any value changed."""
    before = [business.read(f"from {name} order by all") for name in LOGS]
    business.build()
    return [
        name
        for name, earlier in zip(LOGS, before, strict=True)
        if not business.read(f"from {name} order by all").equals(earlier)
    ]


def replay(business: Business, dates: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Decide date after date again, in an empty warehouse with the same deployments and the latest raw data.

    The raw data know the months that came after each date; a decision that differs has looked ahead, or does
    not repeat. Yields each date with the number of its decisions that differ (both sides of a difference
    count).
    """
    then, again = decisions(business), replace(business, warehouse_name="replay")
    for date in dates:
        again.build("--vars", json.dumps({"as_of_date": date}))
        yield date, differences(then, decisions(again), date)


def differences(first: pa.Table, second: pa.Table, date: str) -> int:
    """Count the rows of one date that only one of two tables holds."""
    columns = ", ".join(first.column_names)
    one, other = (f"select {columns} from {name} where as_of_date = $date" for name in ("first", "second"))
    query = f"""
        select count(*) from (
            ({one} except all {other}) union all ({other} except all {one})
        )"""
    with duckdb.connect() as connection:
        connection.register("first", first)
        connection.register("second", second)
        return int(connection.execute(query, {"date": date}).fetchall()[0][0])


def growth(builds: Sequence[BuildTime], of: Callable[[BuildTime], float]) -> tuple[float, float]:
    """Return seconds of the second build and what each later month adds, by a straight line through them.

    The first build is left out: it trains and builds a year of features.

    Examples
    --------
    >>> times = [BuildTime(60.0, 60.0), BuildTime(10.0, 8.0), BuildTime(11.0, 8.5), BuildTime(12.0, 9.0)]
    >>> [round(each, 6) for each in growth(times, lambda build: build.seconds)]
    [10.0, 1.0]
    """
    later = [of(build) for build in builds[1:]]
    slope, start = np.polyfit(np.arange(len(later)), later, 1)
    return float(start), float(slope)
