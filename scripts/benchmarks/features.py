"""customer_features for many dates, for one new date, and one SQL statement for a single date to compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from dbt_project_copy import Usage

from benchmarks.measures import (
    BenchmarkProject,
    best,
    clocked,
    in_fresh_process,
    less_cpu,
    quiet_connection,
)
from benchmarks.raw_tables import ENDS_ON, DataSize, write_raw_tables
from models_ml.errors import BayesPilotError

ONE_DATE = Path(__file__).with_name("one_date.sql")


@dataclass(frozen=True)
class FeatureMeasures:
    """Usage of each way of building features, without dbt's start; ``dates`` is how many were built at once."""

    statement: Usage
    all_dates: Usage
    new_date: Usage
    dates: int


def measure_features(
    project: BenchmarkProject, size: DataSize, *, repeats: int, notify: Callable[[str], None]
) -> FeatureMeasures:
    """Build all dates that a run needs, then one more on top, and compare with one statement for that one.

    A run needs its own date, ``size.dates`` − 1 training dates, and the ends of the months of a past trial.

    Raises
    ------
    BayesPilotError
        If dbt fails, or the statement's rows differ from those of customer_features.
    """
    notify(f"writing {size.events:,} events of {size.customers:,} customers")
    write_raw_tables(project.raw, size)
    training_dates = {"training_dates": size.dates - 1}
    notify("starting dbt without rows, to measure its start")
    project.copy_project()
    start = project.build_features("empty", {**training_dates, "as_of_date": f"{ENDS_ON}"}, empty=True)
    all_dates, new_date, statement = [], [], []
    for turn in range(1, repeats + 1):
        of = f" ({turn} of {repeats})" if repeats > 1 else ""
        notify(f"building all dates{of}")
        project.remove("features")
        day_before = {**training_dates, "as_of_date": f"{ENDS_ON - timedelta(days=1)}"}
        all_dates.append(less_cpu(project.build_features("features", day_before), start))
        built = _dates_built(project)
        notify(f"building one new date on top{of}")
        last_day = {**training_dates, "as_of_date": f"{ENDS_ON}"}
        new_date.append(less_cpu(project.build_features("features", last_day), start))
        notify(f"running one statement for one date, and comparing{of}")
        statement.append(_statement(project, ENDS_ON))
    notify("comparing another date")
    _statement(project, ENDS_ON.replace(day=1) - timedelta(days=1))
    return FeatureMeasures(best(statement), best(all_dates), best(new_date), built)


def _dates_built(project: BenchmarkProject) -> int:
    with quiet_connection(project.warehouse("features")) as connection:
        counted = connection.execute("select count(distinct as_of_date) from customer_features").fetchall()
    return int(counted[0][0])


def _statement(project: BenchmarkProject, as_of_date: date) -> Usage:
    rows, different, measure = in_fresh_process(
        run_statement, project.warehouse("features"), as_of_date, project.memory_limit
    )
    if different or not rows:
        raise BayesPilotError(
            f"customer_features differs from one statement for {as_of_date} in {different} of {rows} rows",
            where=str(ONE_DATE),
            next_step="run again with --folder, and compare the two row by row",
        )
    return measure


def run_statement(warehouse: Path, as_of_date: date, memory_limit: str) -> tuple[int, int, Usage]:
    """Build one date's features in one statement; return their rows, how many differ, and the usage."""
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
