"""customer_features for many dates, for one new date, and one statement that makes a single date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from benchmarks.dbt_runs import Workplace
from benchmarks.measuring import Measure, best, clocked, in_fresh_process, quiet_connection
from benchmarks.world import ENDS_ON, WorldSize, write_world
from models_ml.errors import BayesPilotError

ONE_DATE = Path(__file__).with_name("one_date.sql")


@dataclass(frozen=True)
class FeatureMeasures:
    """What each way of making features took; dbt's start is left out."""

    statement: Measure
    all_dates: Measure
    new_date: Measure


def measure_features(
    workplace: Workplace, size: WorldSize, *, repeats: int, say: Callable[[str], None]
) -> FeatureMeasures:
    """Build ``size.dates`` dates, then one more on top, and compare with one statement for that one.

    Raises
    ------
    BayesPilotError
        If dbt fails, or the statement's rows differ from those of customer_features.
    """
    say(f"writing {size.events:,} events of {size.customers:,} customers")
    write_world(workplace.raw, size)
    month_ends = {"training_month_ends": size.dates - 1}
    say("starting dbt without rows, to know what a start costs")
    start = workplace.build("empty", {**month_ends, "as_of_date": f"{ENDS_ON}"}, empty=True)
    all_dates, new_date, statement = [], [], []
    for turn in range(1, repeats + 1):
        of = f" ({turn} of {repeats})" if repeats > 1 else ""
        say(f"building {size.dates} dates{of}")
        workplace.forget("features")
        day_before = {**month_ends, "as_of_date": f"{ENDS_ON - timedelta(days=1)}"}
        all_dates.append(workplace.build("features", day_before).less_start(start))
        say(f"building one new date on top{of}")
        last_day = {**month_ends, "as_of_date": f"{ENDS_ON}"}
        new_date.append(workplace.build("features", last_day).less_start(start))
        say(f"running one statement for one date, and comparing{of}")
        statement.append(_statement(workplace, ENDS_ON))
    say("comparing another date")
    _statement(workplace, ENDS_ON.replace(day=1) - timedelta(days=1))
    return FeatureMeasures(best(statement), best(all_dates), best(new_date))


def _statement(workplace: Workplace, as_of_date: date) -> Measure:
    rows, different, measure = in_fresh_process(
        run_statement, workplace.warehouse("features"), as_of_date, workplace.memory_limit
    )
    if different or not rows:
        raise BayesPilotError(
            f"customer_features differs from one statement for {as_of_date} in {different} of {rows} rows",
            where=str(ONE_DATE),
            next_step="run again with --folder, and compare the two row by row",
        )
    return measure


def run_statement(warehouse: Path, as_of_date: date, memory_limit: str) -> tuple[int, int, Measure]:
    """Make one date's features in one statement; return their rows, how many differ, and the measure."""
    with quiet_connection(warehouse, memory_limit) as connection:
        connection.execute("set TimeZone = 'UTC'")
        query = ONE_DATE.read_text(encoding="utf-8").format(as_of_date=as_of_date)
        _, measure = clocked(lambda: connection.execute(f"create temp table one_date as {query}"))
        stored = f"(select * from customer_features where as_of_date = date '{as_of_date}')"
        differences = """
            select count(*) from (
                (select * from {one} except all select * from {other})
                union all
                (select * from {other} except all select * from {one})
            )"""
        rows = connection.execute("select count(*) from one_date").fetchall()[0][0]
        compared = differences.format(one="one_date", other=f"{stored} as stored")
        return rows, connection.execute(compared).fetchall()[0][0], measure
