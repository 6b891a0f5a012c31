"""Run the demo business for two years on one warehouse, then check history, repeatability and build times.

    python scripts/check_months.py --customers 2000 --months 24

Every decision must be in history once. Building the latest month again must change nothing. Deciding every month
again in an empty warehouse, with the same deployed pipeline and with raw data that hold the later months too, must
give the same decisions. The printed seconds per build show how build time grows. With two builds a month, 24 months
take about 12 minutes on two idle cores, up to some thousand customers.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import duckdb
import numpy as np
import pyarrow as pa
import typer
from dbt_project_copy import ProjectCopy
from rich.console import Console
from rich.progress import track
from rich.table import Table
from simulation.loop import WITHOUT_UNIT_TESTS, Month, Setting, run_months, set_up

from models_ml.errors import BayesPilotError

HISTORY = "from retention_actions_history order by as_of_date, customer_id"
# Columns that depend on when a build runs; everything else belongs to the decision.
BUILD_COLUMNS = ("decided_at", "updated_at", "dbt_invocation_id")
COUNTS = """
    select count(*) as decisions, count(distinct action_id) as action_ids,
        count(distinct (customer_id, as_of_date)) as customers_and_dates,
        count(distinct as_of_date) as dates
    from retention_actions_history"""
TABLES = ("retention_actions_history", "retention_actions", "policy_runs", "retention_actions_deliverable")


@dataclass(frozen=True)
class HistoryCounts:
    """How many rows history holds, and how many distinct keys and dates they have."""

    decisions: int
    action_ids: int
    customers_and_dates: int
    dates: int

    @property
    def holds_each_once(self) -> bool:
        """Whether every decision is there exactly once."""
        return self.decisions == self.action_ids == self.customers_and_dates


def main(
    customers: Annotated[int, typer.Option(min=100, help="Customers before the first month.")] = 2000,
    months: Annotated[int, typer.Option(min=3, max=36, help="Months to run.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random world.")] = 1,
    learning_share: Annotated[float, typer.Option(min=0, max=0.5, help="Share of limits for trials.")] = 0.1,
    replayed: Annotated[int, typer.Option(min=0, help="Months to replay; 0 = all of them.")] = 0,
) -> None:
    """Run many months on one warehouse; check history, a second build of the last month, and a replay.

    Exits with 1 where a check fails.
    """
    console = Console(width=None if sys.stdout.isatty() else 120)
    setting = Setting(customers, months, seed, "demo", learning_share, past_trial=True)
    try:
        with tempfile.TemporaryDirectory(prefix="bayespilot-") as aside:
            broken = check(setting, Path(aside), replayed or months, console)
    except BayesPilotError as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from None
    if broken:
        console.print("; ".join(broken), style="red", markup=False, highlight=False)
        raise typer.Exit(1)
    console.print("Every check holds.")


def check(setting: Setting, folder: Path, replayed: int, console: Console) -> list[str]:
    """Run and check; print the results and return the failed checks, in words."""
    project, world = set_up(setting, folder / "business")
    months: list[Month] = []
    counts: list[HistoryCounts] = []
    for month, _ in track(run_months(setting, project, world), "months", setting.months, console=console):
        months.append(month)
        counts.append(history_counts(project))
    console.print(_table(months, counts))
    broken = [
        f"history holds {held.decisions} rows of {held.action_ids} decisions after month {month.number}"
        for month, held in zip(months, counts, strict=True)
        if not held.holds_each_once or held.dates != month.number
    ]
    for name, seconds in (
        ("clock", [month.build.seconds for month in months]),
        ("CPU", [month.build.cpu_seconds for month in months]),
    ):
        start, slope = growth(seconds)
        console.print(f"build, {name}: {start:.1f} s in month 2, {slope:+.2f} s with every month")
    changed = changed_by_rebuild(project)
    console.print(f"a second build of the latest month changes: {', '.join(changed) or 'nothing'}")
    broken += [f"a second build changes {name}" for name in changed]
    dates = [month.as_of_date for month in months[:replayed]]
    differing = dict(track(replay(project, dates), "replay", len(dates), console=console))
    console.print(f"replayed {len(dates)} months: {sum(differing.values())} rows differ")
    return broken + [f"replayed, {rows} rows of {date} differ" for date, rows in differing.items() if rows]


def history_counts(project: ProjectCopy) -> HistoryCounts:
    """Count rows, keys and dates of history."""
    return HistoryCounts(**project.read(COUNTS).to_pylist()[0])


def decisions(project: ProjectCopy) -> pa.Table:
    """Return every decision of history, without the columns that depend on when a build ran."""
    return project.read(HISTORY).drop_columns(list(BUILD_COLUMNS))


def changed_by_rebuild(project: ProjectCopy) -> list[str]:
    """Build the latest month once more and return the public tables in which any value changed."""
    before = [project.read(f"from {name} order by all") for name in TABLES]
    project.build(*WITHOUT_UNIT_TESTS)
    return [
        name
        for name, earlier in zip(TABLES, before, strict=True)
        if not project.read(f"from {name} order by all").equals(earlier)
    ]


def replay(
    project: ProjectCopy, dates: Sequence[str], build_options: tuple[str, ...] = WITHOUT_UNIT_TESTS
) -> Iterator[tuple[str, int]]:
    """Decide date after date again, in an empty warehouse with the same deployments and the latest raw data.

    The raw data hold the months after each date; a decision that differs either used them, or is not
    reproducible. Yields each date with the number of its decisions that differ (both sides of a difference
    count).
    """
    first, again = decisions(project), with_new_warehouse(project)
    for date in dates:
        again.build(*build_options, "--vars", json.dumps({"as_of_date": date}))
        yield date, differences(first, decisions(again), date)


def with_new_warehouse(project: ProjectCopy) -> ProjectCopy:
    """Return the same copy of the project on another warehouse beside the first."""
    warehouse = project.folder / "warehouse" / "replay.duckdb"
    return replace(project, environment=project.environment | {"RETENTION_DB": str(warehouse)})


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


def growth(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the seconds of the second build and the increase per later month, by a straight line through them.

    The first build is left out: it trains and builds a year of features.

    Examples
    --------
    >>> [round(each, 6) for each in growth([60.0, 10.0, 11.0, 12.0])]
    [10.0, 1.0]
    """
    later = seconds[1:]
    slope, start = np.polyfit(np.arange(len(later)), later, 1)
    return float(start), float(slope)


def _table(months: list[Month], counts: list[HistoryCounts]) -> Table:
    table = Table(title="Every month on one warehouse", title_justify="left", pad_edge=False)
    for name in ("month", "as_of_date", "customers", "contacts", "rows of history", "build s", "build CPU s"):
        table.add_column(name, justify="left" if name == "as_of_date" else "right")
    for month, held in zip(months, counts, strict=True):
        table.add_row(
            str(month.number),
            month.as_of_date,
            f"{month.value.customers:,}",
            f"{month.value.contacts:,}",
            f"{held.decisions:,}",
            f"{month.build.seconds:.1f}",
            f"{month.build.cpu_seconds:.1f}",
        )
    return table


if __name__ == "__main__":
    typer.run(main)
