"""Measure time and memory of features, scoring, deciding, training, explaining, serving, and whole nights.

    python scripts/benchmark.py night --customers 1000000 --events 100000000 --nights 2,365 --memory-limit 8GB
    python scripts/benchmark.py features --customers 200000 --events 20000000 --dates 12 --memory-limit 4GB
    python scripts/benchmark.py scoring --rows 2000000 --candidate boosting
    python scripts/benchmark.py decide --customers 1000000
    python scripts/benchmark.py partitions --customers 10000000 --sample-one-in 100
    python scripts/benchmark.py training --rows 1000000 --features 40 --row-cap 0
    python scripts/benchmark.py reasons --rows 20000
    python scripts/benchmark.py serving --candidate logistic

Everything happens in a temporary folder. On a machine that is not idle CPU seconds are more reliable than seconds. Of
several repeats the least time and the highest peak are printed.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from benchmarks.features import measure_features
from benchmarks.measures import BenchmarkProject
from benchmarks.nights import HISTORY_DATES, Night, measure_nights
from benchmarks.raw_tables import DataSize
from dbt_project_copy import Usage
from option_values import whole_numbers
from rich.console import Console
from rich.table import Table

from models_ml.errors import BayesPilotError

app = typer.Typer(
    help="Measure time and memory of features, scoring, deciding, training, explaining, serving, and whole nights.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()


class Candidate(StrEnum):
    """Short names of the candidates of models_ml.training.candidates."""

    logistic = "logistic"
    forest = "forest"
    boosting = "boosting"


REGISTERED = {
    Candidate.logistic: "logistic_regression",
    Candidate.forest: "random_forest",
    Candidate.boosting: "gradient_boosting",
}

EVENTS_PER_CUSTOMER = 50
FEWEST_NIGHTS = 2  # the night that trained, and one that kept what a run keeps

Repeats = Annotated[int, typer.Option(min=1, help="Number of measurements; the least time is printed.")]
Folder = Annotated[
    Path | None,
    typer.Option(
        help="Work here and keep everything (scoring trains on what features left); default: a temporary"
        " folder."
    ),
]
MemoryLimit = Annotated[str, typer.Option(help="DuckDB's memory limit; beyond it DuckDB spills to disk.")]


@app.command()
def features(
    customers: Annotated[int, typer.Option(min=100, help="Customers that ever signed up.")] = 200_000,
    events: Annotated[int, typer.Option(min=1000, help="Rows of activity.")] = 20_000_000,
    dates: Annotated[
        int,
        typer.Option(
            min=4, max=60, help="Training dates and the run's date; month ends of a past trial come on top."
        ),
    ] = 12,
    memory_limit: MemoryLimit = "4GB",
    repeats: Repeats = 1,
    folder: Folder = None,
) -> None:
    """Build customer_features for many dates and for a new one; compare with one SQL statement for one date."""
    with _project(folder, memory_limit) as project:
        size = DataSize(customers, events, dates)
        with console.status("") as status:
            found = measure_features(project, size, repeats=repeats, notify=status.update)
    _print(
        f"Features: {customers:,} customers, {events:,} events, DuckDB limited to {memory_limit}",
        [
            ("one statement, one date", found.statement),
            (f"dbt, {found.dates} dates at once", found.all_dates),
            ("dbt, one new date on top", found.new_date),
        ],
        "The statement reads 365 days of valid rows in one pass; its rows equal those of customer_features. "
        "dbt's own start is not included.",
    )


@app.command()
def scoring(
    rows: Annotated[int, typer.Option(min=1000, help="Customers to score.")] = 2_000_000,
    candidate: Annotated[Candidate, typer.Option(help="Estimator that scores them.")] = Candidate.boosting,
    memory_limit: MemoryLimit = "4GB",
    training_customers: Annotated[int, typer.Option(min=500, help="Customers to train on.")] = 20_000,
    one_call: Annotated[
        bool,
        typer.Option(
            "--one-call", help="Also predict_proba on all rows at once (up to 4 GB a million rows)."
        ),
    ] = False,
    repeats: Repeats = 1,
    folder: Folder = None,
) -> None:
    """Stream scores from the warehouse; compare with predict_proba alone on a matrix in memory."""
    from benchmarks.scoring import measure_scoring  # slow to import, and only scoring needs it

    training_data = DataSize(training_customers, training_customers * EVENTS_PER_CUSTOMER, dates=4)
    with _project(folder, memory_limit) as project, console.status("") as status:
        found = measure_scoring(
            project,
            rows=rows,
            candidate=REGISTERED[candidate],
            training_data=training_data,
            with_one_call=one_call,
            repeats=repeats,
            notify=status.update,
        )
    naive = [("predict_proba alone, one call", found.one_call)] if found.one_call else []
    _print(
        f"Scoring: {rows:,} customers, {REGISTERED[candidate]}",
        [
            ("predict_proba alone, in batches", found.batches),
            *naive,
            ("streamed: read, encode, score, write", found.streaming),
        ],
        "predict_proba alone starts from a matrix in memory, without reading and encoding.",
    )


@app.command()
def training(
    rows: Annotated[int, typer.Option(min=1000, help="Examples to fit on.")] = 1_000_000,
    features: Annotated[int, typer.Option(min=10, help="Features, a tenth of them categories.")] = 40,
    row_cap: Annotated[
        int,
        typer.Option(min=0, help="Most rows to fit on, as fit_at_most in settings.toml; 0: no limit."),
    ] = 0,
    candidate: Annotated[
        Candidate | None, typer.Option(help="Only this one, without the whole stage; default: all.")
    ] = None,
    memory_limit: MemoryLimit = "1GB",
    folder: Folder = None,
) -> None:
    """Train candidates on a large table; compare each with a plain fit of its estimator."""
    from benchmarks.training import measure_training  # slow to import, and only training needs it

    with _project(folder, memory_limit) as project, console.status("") as status:
        found = measure_training(
            project.folder,
            rows=rows,
            features=features,
            row_cap=row_cap,
            candidate=REGISTERED[candidate] if candidate else None,
            memory_limit=memory_limit,
            notify=status.update,
        )
    for one in found.candidates:
        _print(
            f"{one.candidate}: {found.fit_rows:,} rows to fit, {features} features",
            [("estimator's own fit", one.plain), ("encode, fit, calibrate", one.trained)],
            "The estimator's own fit starts from a matrix in memory.",
        )
    if found.stage:
        _print(
            "The whole stage",
            [("read, search, three candidates, judging, refit", found.stage)],
            f"One process from the warehouse to the fitted winner, DuckDB limited to {memory_limit}.",
        )


@app.command()
def reasons(
    rows: Annotated[int, typer.Option(min=100, help="Customers to explain.")] = 20_000,
    features: Annotated[int, typer.Option(min=10, help="Features, a tenth of them categories.")] = 80,
    memory_limit: MemoryLimit = "1GB",
    folder: Folder = None,
) -> None:
    """Explain customers batch by batch, by each candidate."""
    from benchmarks.reasons import measure_reasons  # slow to import, and only reasons need it

    with _project(folder, memory_limit) as project, console.status("") as status:
        found = measure_reasons(
            project.folder, rows=rows, features=features, memory_limit=memory_limit, notify=status.update
        )
    _print(
        f"Reasons: {rows:,} customers, {features} features",
        list(found.items()),
        "Includes building the explainer, not fitting; ratios are to the first row.",
    )


@app.command()
def decide(
    customers: Annotated[
        int, typer.Option(min=1000, help="Customers at risk, with four offers each.")
    ] = 1_000_000,
    repeats: Repeats = 1,
) -> None:
    """Choose actions under a budget and four capacities; compare with sorting the same rows once."""
    from benchmarks.deciding import measure_deciding

    with console.status("deciding"):
        found = measure_deciding(customers, repeats=repeats)
    _print(
        f"Deciding: {customers:,} customers × 4 offers, a budget and four capacities",
        [
            ("sorting the customers once", found.sorting),
            ("choose_actions", found.choosing),
            ("five reference policies", found.references),
        ],
        f"{found.contacts:,} contacts worth {found.value:,.0f}, {found.binding} binding limits, gap {found.gap:.1e}. "
        "Peaks include the values themselves.",
    )


@app.command()
def partitions(
    customers: Annotated[
        int, typer.Option(min=10_000, help="Customers at risk, with four offers each.")
    ] = 10_000_000,
    sample_one_in: Annotated[
        int, typer.Option(min=1, help="Prices come from one customer of so many.")
    ] = 100,
    whole: Annotated[bool, typer.Option(help="Also plan for all customers at once, to compare.")] = True,
) -> None:
    """Plan with prices from a sample, applied partition by partition, as a cluster would; the gap is measured."""
    from benchmarks.partitions import measure_partitions

    with console.status("planning by partition"):
        found = measure_partitions(customers, sample_one_in, with_whole=whole)
    plan, measures = found.plan, [("by partition, generating values three times", found.partitioned)]
    compared = ""
    if found.whole is not None and found.whole_value is not None:
        measures.append(("all customers at once", found.whole))
        compared = f" Of the plan for all at once, its value is {plan.steered_value / found.whole_value:.6f}."
    _print(
        f"Plan by partition: {customers:,} customers × 4 offers, a budget and four capacities",
        measures,
        f"{plan.sample:,} customers in the sample, {plan.contested:,} contested ones planned by the driver, gap to"
        f" the bound {plan.gap:.1e}.{compared}",
    )


@app.command()
def serving(
    candidate: Annotated[
        Candidate, typer.Option(help="Estimator of the last training.")
    ] = Candidate.logistic,
    requests: Annotated[int, typer.Option(min=100, help="Requests for one customer each.")] = 3_000,
    lists: Annotated[int, typer.Option(min=1, help="Requests for 1,000 customers each.")] = 10,
) -> None:
    """Serve the published copy of the demo (`bayespilot run`) to one client; reasons are part of every answer."""
    from benchmarks.serving import measure_serving  # slow to import, and only serving needs it
    from serving_study import published_run

    from models_ml.paths import artifacts_folder, warehouse_path

    with _project(None, "1GB") as project, console.status("") as status:
        found = measure_serving(
            project.folder,
            published_run(),
            artifacts_folder("demo") / "candidates",
            warehouse_path("demo"),
            candidate=REGISTERED[candidate],
            requests=requests,
            lists=lists,
            notify=status.update,
        )
    table = Table(title=f"Serving: {REGISTERED[candidate]}, one worker, {requests:,} requests by one client")
    for name in (
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "CPU ms",
        "of the client",
        "a second",
        "a second in lists",
        "MB after lists",
    ):
        table.add_column(name, justify="right")
    table.add_row(
        *(f"{found.quantile(share):.1f}" for share in (0.5, 0.95, 0.99)),
        f"{found.cpu_ms:.1f}",
        f"{found.client_cpu_ms:.1f}",
        f"{requests / found.seconds:,.0f}",
        f"{found.customers_a_second:,.0f}",
        f"{found.lists_mb:,.0f}",
    )
    console.print(table)
    memory = Table(title="Resident memory of the service")
    memory.add_column("requests", justify="right")
    memory.add_column("MB", justify="right")
    for number, megabytes in found.resident_mb.items():
        memory.add_row(f"{number:,}", f"{megabytes:,.0f}")
    console.print(memory)


@app.command()
def night(
    customers: Annotated[int, typer.Option(min=500, help="Customers that ever signed up.")] = 20_000,
    events: Annotated[int, typer.Option(min=1000, help="Rows of activity.")] = 1_000_000,
    nights: Annotated[
        str, typer.Option(help="Nights behind the measured one, each at least 2.")
    ] = "2,90,365",
    memory_limit: MemoryLimit = "4GB",
    folder: Folder = None,
) -> None:
    """Build one night with few and with many nights behind it; compare time, memory, disk and the slowest nodes."""
    behind = sorted(whole_numbers(nights, "--nights", FEWEST_NIGHTS))
    with _project(folder, memory_limit) as project, console.status("") as status:
        found = measure_nights(
            project, DataSize(customers, events, HISTORY_DATES), behind, notify=status.update
        )
    _print(
        f"A night: {customers:,} customers, {found[0].customers_at_risk:,} of them at risk, {events:,} events, "
        f"DuckDB limited to {memory_limit}",
        [(f"{night.nights} nights behind it", night.usage) for night in found],
        "dbt build with its data tests and its own start, without publishing.",
    )
    _print(
        "Publishing it, with the nights before it published",
        [(f"{night.nights} nights behind it", night.publishing) for night in found],
        "bayespilot publish with its own start.",
    )
    _print_nodes(found)
    _print_disk(found)


def _print_nodes(found: list[Night]) -> None:
    """Print the nodes that take longest with most nights behind them, beside the same with fewer."""
    table = Table(title="Slowest nodes, seconds")
    table.add_column("")
    for night in found:
        table.add_column(f"{night.nights} nights", justify="right")
    for name, _ in found[-1].slowest():
        table.add_row(name, *(f"{night.nodes.get(name, 0.0):.2f}" for night in found))
    console.print(table)


def _print_disk(found: list[Night]) -> None:
    """Print rows and disk of each warehouse, and what history takes per customer and night."""
    table = Table(
        title="Disk", caption="Growth: the last night's, which first fills what earlier nights freed."
    )
    table.add_column("nights", justify="right")
    for name in ("history rows", "warehouse MB", "last night's growth MB"):
        table.add_column(name, justify="right")
    for night in found:
        table.add_row(
            f"{night.nights}", f"{night.history_rows:,}", f"{night.file_mb:,.1f}", f"{night.grown_mb:,.1f}"
        )
    console.print(table)
    fewest, most = found[0], found[-1]
    further = most.history_rows - fewest.history_rows
    if further:
        each = (most.file_mb - fewest.file_mb) * 1e6 / further
        console.print(f"Per further night and customer at risk: {each:,.0f} bytes of the warehouse.")


@contextmanager
def _project(folder: Path | None, memory_limit: str) -> Iterator[BenchmarkProject]:
    """Yield the benchmark's folder; print an error and exit with code 1 where something fails."""
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            yield BenchmarkProject(folder.resolve(), memory_limit)
            return
        with tempfile.TemporaryDirectory(prefix="bayespilot-benchmark-") as temporary:
            yield BenchmarkProject(Path(temporary), memory_limit)
    except BayesPilotError as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        sys.exit(1)


def _print(title: str, measures: list[tuple[str, Usage]], note: str) -> None:
    """Print one row per measure; ratios are to the first."""
    table = Table(title=title, caption=note)
    table.add_column("")
    for name in ("seconds", "ratio", "CPU seconds", "ratio", "peak MB"):
        table.add_column(name, justify="right")
    _, first = measures[0]
    for name, measure in measures:
        table.add_row(
            name,
            f"{measure.seconds:.1f}",
            f"{measure.seconds / max(first.seconds, 1e-9):.2f}",
            f"{measure.cpu_seconds:.1f}",
            f"{measure.cpu_seconds / max(first.cpu_seconds, 1e-9):.2f}",
            f"{measure.peak_mb:,.0f}",
        )
    console.print(table)


if __name__ == "__main__":
    app()
