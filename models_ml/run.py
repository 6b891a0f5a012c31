"""What ``bayespilot run`` does: check, build, publish, report and sum up, one line per step.

The check says in words what is wrong with the environment: dbt itself ends with a stack trace where a warehouse file
cannot be opened or a seed is no text.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from models_ml.dbt_build import Outcome, build
from models_ml.errors import BayesPilotError, naming_source
from models_ml.paths import check_source, project_root, published_folder, reports_folder, warehouse_path
from models_ml.terminal import say, say_error, table_console
from models_ml.warehouse import build_command, is_in_use, open_warehouse

Notify = Callable[[str], None]

FAILED_CAST = re.compile(r"Conversion Error: .* when casting from source column ([^\n]+)")
WAIT_SECONDS = 30.0  # for another build or a reader to end, as long as dbt waits
TRY_EVERY_SECONDS = 1.0


@dataclass(frozen=True)
class Written:
    """Report pages that were written, and what the monitoring says."""

    paths: tuple[Path, ...]
    said: tuple[str, ...]


def run_all(source: str, options: Sequence[str], variables: Mapping[str, Any]) -> int:
    """Run all steps and return the exit code: that of dbt where a node fails, else 0.

    Raises
    ------
    BayesPilotError
        If the build cannot start, or a step after it cannot be done.
    """
    log = project_root() / "logs" / f"run_{source}.log"
    with _step("build") as step:
        check_before_build(source, step.notify)
        outcome = build(source, options, variables, log, step.nodes)
        step.say(f"{outcome.headline}; log: {_from_project(log)}")
    for warning in outcome.warnings:
        say(f"  warning: {naming_source(warning, source)}", style="yellow")
    if outcome.exit_code:
        _show_failure(outcome, source, log)
        return outcome.exit_code
    from models_ml.publish import publish
    from models_ml.published_tables import UnfinishedRunError

    with _step("publish") as step:
        try:
            published = publish(source, warehouse_path(source), published_folder(source))
        except UnfinishedRunError:
            if "--selector" not in options:
                raise
            step.say("nothing: this selector builds only a part of a run; the next full run publishes")
            return 0
        step.say(
            f"{published.rows:,} rows of retention_actions and the other public tables in"
            f" {_from_project(published.run_folder)}"
        )
    for warning in published.warnings:
        say(f"  warning: {warning}", style="yellow")
    with _step("reports") as step:
        written = write_reports(source, step.notify)
        step.say(", ".join(_from_project(path) for path in written.paths))
    for line in written.said:
        say(f"  {line}")
    from models_ml.summary import print_summary, read_summary, where_next

    print_summary(table_console(), read_summary(source), source)
    say(where_next(source))
    return 0


def write_reports(source: str, notify: Notify) -> Written:
    """Write the pages of the last plan and of the monitoring.

    Raises
    ------
    BayesPilotError
        If the warehouse cannot be read or holds no run.
    """
    from models_ml.reports.monitoring_findings import findings, read_monitoring
    from models_ml.reports.monitoring_page import monitoring_page
    from models_ml.reports.page import write_page
    from models_ml.reports.policy_page import write_policy_report
    from models_ml.warehouse import open_warehouse

    policy, monitoring = (reports_folder(source) / name for name in ("policy.html", "monitoring.html"))
    notify("policy.html")
    with open_warehouse(source) as connection:
        write_policy_report(policy, connection, source=source)
    notify("monitoring.html")
    data = read_monitoring(warehouse_path(source), source, project_root() / "target" / "run_results.json")
    page = monitoring_page(data)
    write_page(monitoring, page)
    found = (f"- {finding.what}: {finding.evidence}" for finding in findings(data))
    return Written((policy, monitoring), (page.verdict, *found))


class _Step:
    """One step on the screen: a moving line on a terminal, and one line when it is done."""

    def __init__(self, name: str, bar: Progress | None) -> None:
        self.name = name
        self.began = time.monotonic()
        self.bar = bar
        self.task = bar.add_task(f"{name}: starting", total=None) if bar else None

    def nodes(self, finished: int, total: int, what: str) -> None:
        """Show how far a build has come."""
        if self.bar is not None and self.task is not None:
            self.bar.update(
                self.task, completed=finished, total=total or None, description=f"{self.name}: {what}"
            )

    def notify(self, what: str) -> None:
        """Show what is being done."""
        self.nodes(0, 0, what)

    def say(self, what: str) -> None:
        """Print the line of the finished step."""
        seconds = time.monotonic() - self.began
        if self.bar is not None:
            self.bar.stop()
        say(f"{self.name:8} {seconds:5.0f} s  {what}")


@contextmanager
def _step(name: str) -> Iterator[_Step]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Step(name, None)
        return
    columns = (
        TimeElapsedColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield _Step(name, bar)


def _show_failure(outcome: Outcome, source: str, log: Path) -> None:
    for fault in outcome.faults:
        say_error(naming_source(fault, source) + where_cast(fault, source))
    say_error(
        "Nothing was published: the published copy, policy.html and monitoring.html stay as they were.\n"
        f"  next: correct what is named above, then {build_command(source)}; all of dbt's output: {log}"
    )


def where_cast(fault: str, source: str) -> str:
    """Return which staging selects name the column of which a value could not be cast; empty for other faults.

    DuckDB names the model that reads the value, which may be far from the cast.
    """
    found = FAILED_CAST.search(fault)
    if not found:
        return ""
    name = re.compile(rf"^(?:(?!--).)*\b{re.escape(found[1])}\b", re.MULTILINE)  # not in a comment
    selects = sorted((project_root() / "dbt_project" / "sources" / source).glob("stg_*.sql"))
    files = [_from_project(file) for file in selects if name.search(file.read_text(encoding="utf-8"))]
    if not files:
        return ""
    return f"\n  where: column {found[1]} in {', '.join(files)}; README, Bring your own data: how to write such values"


def _from_project(path: Path) -> str:
    root = project_root()
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def check_before_build(
    source: str, notify: Callable[[str], None], wait_seconds: float = WAIT_SECONDS
) -> None:
    """Refuse a build that could not start: source, seed files, warehouse file, folders to write into.

    Parameters
    ----------
    source : str
        Name of the source.
    notify : callable
        Told what is waited for.
    wait_seconds : float
        How long another process may hold the warehouse.

    Raises
    ------
    BayesPilotError
        If there is no such source or it has no customers yet, a seed file is not in UTF-8, a folder cannot be written,
        or the warehouse file cannot be opened or stays in use.
    """
    root = project_root()
    check_source(source)
    _check_customers(root, source)
    for file in sorted((root / "seeds" / source).glob("*.csv")):
        _check_encoding(file, root)
    warehouse = warehouse_path(source)
    for folder in (warehouse.parent, root / "target", root / "logs"):
        _check_folder(folder)
    _wait_for_warehouse(source, warehouse, notify, wait_seconds)


def _check_customers(root: Path, source: str) -> None:
    customers = root / "dbt_project" / "sources" / source / "stg_customers.sql"
    text = customers.read_text(encoding="utf-8") if customers.is_file() else ""
    select = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    if "where false" in select and "source(" not in select:
        raise BayesPilotError(
            f"the source {source} has no customers yet: stg_customers is as bayespilot init wrote it, without a table",
            where=str(customers.relative_to(root)),
            next_step="select them from your table of customers, or one row each from another table, then"
            f" bayespilot run --source {source}; a randomised trial needs no source: bayespilot uplift --help",
        )


def _check_encoding(file: Path, root: Path) -> None:
    content = file.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BayesPilotError(
            f"the seed file is not in UTF-8: line {line} holds other bytes",
            where=str(file.relative_to(root)),
            values=[repr(content.splitlines()[line - 1][:60])],
            next_step="save it as CSV in UTF-8, then run this again",
        ) from error


def _check_folder(folder: Path) -> None:
    """Refuse a folder that is missing below a file, or cannot be written."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    is_usable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    if not is_usable:
        raise BayesPilotError(
            "the folder cannot be written" if existing.is_dir() else "a file stands where a folder is needed",
            where=str(existing),
            next_step="let this account write there, or name another place (RETENTION_DB for the warehouse)",
        )
    folder.mkdir(parents=True, exist_ok=True)


def _wait_for_warehouse(source: str, path: Path, notify: Callable[[str], None], wait_seconds: float) -> None:
    """Open the warehouse once, read-only; wait while another process holds it."""
    if path.is_dir():
        raise BayesPilotError(
            "a folder stands where the warehouse file is needed",
            where=str(path),
            next_step="name a file in RETENTION_DB, or remove the folder",
        )
    deadline = time.monotonic() + wait_seconds
    while path.exists():
        try:
            with open_warehouse(source, path):
                return
        except BayesPilotError as error:
            if not is_in_use(error) or time.monotonic() >= deadline:
                raise
            notify("waiting for the process that holds the warehouse")
            time.sleep(TRY_EVERY_SECONDS)
