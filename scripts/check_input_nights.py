"""Check that the input of an unchanged business stops no run, night after night.

    python scripts/check_input_nights.py --customers 800,5000 --nights 60

Each business is generated anew and grows as it does; only the checks of the input run, without training and scoring.
5,000 customers and 60 nights take about two minutes.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import typer
from generate_churn_data import ENDS_ON, raw_chunks, write_parquet
from input_nights import InputNights, Problem, open_nights
from rich.progress import track

LAST_NIGHT = date.fromisoformat(str(ENDS_ON))


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
    """Count the nights that the input of an unchanged business would have stopped."""
    stopped = 0
    for size in (int(text) for text in customers.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            raw = Path(folder) / "raw"
            write_parquet(raw_chunks(customers=size, months=months, seed=seed, clean=False), raw)
            first = LAST_NIGHT - timedelta(days=nights - 1)
            checks = open_nights(Path(folder) / "project", raw, first)
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
