"""Check that the input of an unchanged business stops no run, night after night.

    python scripts/check_input_nights.py --customers 800,5000 --nights 60

Each business is generated anew and grows as it does; only the checks of the input run, on one warehouse, without
training, scoring or starting dbt each night. 5,000 customers and 60 nights take about two minutes.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import duckdb
import typer
from dbt_project_copy import CompiledModels, ProjectCopy
from generate_churn_data import ENDS_ON, raw_chunks, write_parquet
from option_values import whole_numbers
from rich.console import Console
from rich.progress import track

from models_ml.errors import BayesPilotError

# Tables between valid rows and the list of problems.
TABLES = (
    "int_run",
    "int_feature_dates",
    "int_day_segments",
    "int_segment_windows",
    "int_activity_segments",
    "int_customer_as_of_dates",
    "int_table_counts",
    "rpt_feed_freshness",
    "rpt_input_problems",
)
VOLUME = """
    create table if not exists rpt_run_volume (
        as_of_date date, measure varchar, item varchar, detail varchar, row_count bigint
    )"""
COLUMNS = "as_of_date, measure, item, detail, row_count"

LAST_NIGHT = date.fromisoformat(str(ENDS_ON))
FEWEST_CUSTOMERS = 100


@dataclass(frozen=True)
class Problem:
    """One row of ``rpt_input_problems``."""

    subject: str
    problem: str
    status: str
    description: str


class InputNights(CompiledModels):
    """The checks of the input of a project, run for one day after the other.

    Parameters
    ----------
    project : ProjectCopy
        Its features and input checks have been built for ``compiled_for`` with dbt, see `build_checks`.
    compiled_for : date
        The ``as_of_date`` of that build.
    source : str
        Its source.
    """

    def __init__(self, project: ProjectCopy, compiled_for: date, source: str = "demo") -> None:
        super().__init__(project.folder, project.warehouse(source), TABLES)
        self.compiled_for = compiled_for

    def check(self, day: date) -> list[Problem]:
        """Check the input of a day and return the problems in the order in which a run would name them."""
        for name, statement in self.statements:
            dated = statement
            if name == "int_run":
                dated = statement.replace(f"'{self.compiled_for}'", f"'{day}'")
                assert dated != statement or day == self.compiled_for, "int_run holds no date to replace"
            self.connection.execute(f"create or replace table {name} as {dated}")
        rows = self.rows(
            "select subject, problem, status, description from rpt_input_problems order by problem_number"
        )
        return [Problem(*row) for row in rows]

    def keep(self) -> None:
        """Keep what the next night compares with, as a run does that has passed."""
        self.connection.execute(
            "delete from rpt_run_volume where as_of_date = (select as_of_date from int_run)"
        )
        self.connection.execute(
            f"insert into rpt_run_volume ({COLUMNS})"
            " select as_of_date, 'delivered_rows', staging_model, 'all', delivered_rows from int_table_counts"
            " union all select as_of_date, 'valid_rows', staging_model, 'all', valid_rows from int_table_counts"
            " union all select as_of_date, 'customers_at_risk', 'all', 'all', count(*)"
            " from int_customer_as_of_dates natural join (select as_of_date from int_run) group by as_of_date"
            " union all select as_of_date, 'quarantined', staging_model, quarantine_reason, count(*)"
            " from quarantine cross join (select as_of_date from int_run)"
            " group by as_of_date, staging_model, quarantine_reason"
        )


def build_checks(project: ProjectCopy, day: date, source: str = "demo") -> None:
    """Build features and input checks of a day with dbt, compiled as on a night that has earlier runs.

    Raises
    ------
    BayesPilotError
        When a build fails.
    """
    with duckdb.connect(str(project.warehouse(source))) as connection:
        connection.execute(VOLUME)
    selected = (
        "--select",
        "+rpt_input_problems",
        "+customer_features",
        "--exclude-resource-types",
        "test",
        "unit_test",
    )
    variables = ("--vars", json.dumps({"as_of_date": str(day), "source": source}))
    for _ in range(2):  # the second is compiled with the tables of the first as earlier runs
        project.build(*selected, *variables)


def open_nights(
    folder: Path,
    raw_data: Path,
    day: date,
    source: str = "demo",
    copied: type[ProjectCopy] = ProjectCopy,
) -> InputNights:
    """Return the checks on a copy of the project in ``folder``."""
    project = copied.create(folder, raw_data)
    build_checks(project, day, source)
    return InputNights(project, day, source)


def run_nights(nights: InputNights, first: date, count: int) -> Iterator[tuple[date, list[Problem]]]:
    """Yield each night with its problems; a night without a stop is kept for the next one to compare with."""
    for day in (first + timedelta(days=number) for number in range(count)):
        problems = nights.check(day)
        if not any(problem.status == "stop" for problem in problems):
            nights.keep()
        yield day, problems


def main(
    customers: Annotated[
        str, typer.Option(help="Sizes of the businesses, separated by commas.")
    ] = "800,5000",
    nights: Annotated[int, typer.Option(min=1, max=365, help="Nights up to the end of the data.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random world.")] = 7,
    months: Annotated[int, typer.Option(min=6, max=72, help="Months of history.")] = 24,
) -> None:
    """Count the nights that the input of an unchanged business would have stopped; exit 1 where there is one."""
    stopped = 0
    for size in whole_numbers(customers, "--customers", FEWEST_CUSTOMERS):
        with tempfile.TemporaryDirectory() as folder:
            raw = Path(folder) / "raw"
            write_parquet(raw_chunks(customers=size, months=months, seed=seed, clean=False), raw)
            first = LAST_NIGHT - timedelta(days=nights - 1)
            try:
                checks = open_nights(Path(folder) / "project", raw, first)
            except BayesPilotError as error:
                Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
                raise typer.Exit(1) from error
            found = list(
                track(run_nights(checks, first, nights), total=nights, description=f"{size} customers")
            )
            checks.close()
        stops = [(day, one) for day, problems in found for one in problems if one.status == "stop"]
        warned = Counter(one.problem for _, problems in found for one in problems if one.status != "stop")
        stopped += len({day for day, _ in stops})
        typer.echo(
            f"{size:,} customers, seed {seed}: {len({day for day, _ in stops})} of {nights} nights stopped,"
            f" warnings: {dict(warned) or 'none'}"
        )
        for day, one in stops:
            typer.echo(f"  {day} {one.description}")
    raise typer.Exit(1 if stopped else 0)


if __name__ == "__main__":
    typer.run(main)
