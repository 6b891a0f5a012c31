"""Measured work: dbt in a copy of the project, and functions in processes of their own."""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import duckdb
from dbt_project_copy import ProjectCopy, Usage, usage

Result = TypeVar("Result")
FEATURE_MODELS = "dbt_project/models/features/"
SELECTED = ("+customer_features", "int_feature_schema")


@dataclass(frozen=True)
class BenchmarkProject:
    """The folder of a benchmark: raw tables, warehouses, and a copy of the project.

    ``memory_limit`` is DuckDB's. What an earlier benchmark left in the folder is used again.
    """

    folder: Path
    memory_limit: str

    @property
    def raw(self) -> Path:
        """Folder of the raw tables."""
        return self.folder / "raw"

    @property
    def copy(self) -> Path:
        """Folder of the copy of the project."""
        return self.folder / "project"

    def warehouse(self, name: str) -> Path:
        """Return the DuckDB file of that name."""
        return self.folder / f"{name}.duckdb"

    def has(self, name: str, table: str) -> bool:
        """Say whether a warehouse holds a table, as that of a finished build does."""
        if not self.warehouse(name).exists():
            return False
        with duckdb.connect(str(self.warehouse(name)), read_only=True) as connection:
            query = "select count(*) from information_schema.tables where table_name = ?"
            return bool(connection.execute(query, [table]).fetchall()[0][0])

    def copy_project(self) -> None:
        """Copy the project as it is now, in place of an earlier copy."""
        if self.copy.exists():
            shutil.rmtree(self.copy)
        ProjectCopy.create(self.copy, self.raw)

    def use_artifacts(self) -> None:
        """Let this process read and write deployed pipelines of the copy, not of the real project."""
        os.environ["DBT_PROFILES_DIR"] = str(self.copy)

    def remove(self, name: str) -> None:
        """Remove a warehouse, if it exists."""
        for left in self.folder.glob(f"{name}.duckdb*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()

    def build_features(self, name: str, variables: Mapping[str, Any], *, empty: bool = False) -> Usage:
        """Build features into a warehouse; seconds are those in which a feature model was being built."""
        settings = {
            "RETENTION_DB": str(self.warehouse(name)),
            "RETENTION_MEMORY_LIMIT": self.memory_limit,
        }
        whole = ProjectCopy(self.copy, self.raw, settings).build(
            *("--no-partial-parse", "--select", *SELECTED),
            *("--exclude-resource-types", "test", "unit_test"),
            *("--vars", json.dumps({"source": "demo", **variables})),
            *(["--empty"] if empty else []),
        )
        return replace(whole, seconds=feature_seconds(self.copy / "target"))


def feature_seconds(target: Path) -> float:
    """Return for how long at least one feature model was being built, from dbt's own records."""
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    results = json.loads((target / "run_results.json").read_text(encoding="utf-8"))["results"]
    spans = [
        (
            min(step["started_at"] for step in result["timing"]),
            max(step["completed_at"] for step in result["timing"]),
        )
        for result in results
        if manifest["nodes"][result["unique_id"]]["original_file_path"].startswith(FEATURE_MODELS)
        and result["timing"]
    ]
    return covered_seconds([(_moment(start), _moment(end)) for start, end in spans])


def covered_seconds(spans: list[tuple[float, float]]) -> float:
    """Return the length of the union of spans: what two threads do at once counts once.

    Examples
    --------
    >>> covered_seconds([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0)])
    4.0
    """
    covered, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        covered += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    return covered


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def less_cpu(whole: Usage, part: Usage) -> Usage:
    """Return a usage without the CPU seconds of a part of it, such as a start that did no work.

    Examples
    --------
    >>> less_cpu(Usage(2.0, 3.0, 100.0), Usage(1.0, 0.5, 50.0))
    Usage(seconds=2.0, cpu_seconds=2.5, peak_mb=100.0)
    """
    return replace(whole, cpu_seconds=max(whole.cpu_seconds - part.cpu_seconds, 0.0))


def best(measures: Iterable[Usage]) -> Usage:
    """Return the least time and the highest peak: other work on the machine only adds time.

    Examples
    --------
    >>> best([Usage(2.0, 3.0, 100.0), Usage(2.5, 2.9, 120.0)])
    Usage(seconds=2.0, cpu_seconds=2.9, peak_mb=120.0)
    """
    listed = list(measures)
    return Usage(
        min(one.seconds for one in listed),
        min(one.cpu_seconds for one in listed),
        max(one.peak_mb for one in listed),
    )


def clocked(work: Callable[[], Result]) -> tuple[Result, Usage]:
    """Do some work in this process; its peak is that of the process so far."""
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    result = work()
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    whole, earlier = usage(seconds, after), usage(0.0, before)
    return result, less_cpu(whole, earlier)


def quiet_connection(warehouse: Path | None = None, memory_limit: str = "80%") -> duckdb.DuckDBPyConnection:
    """Connect to a DuckDB file, or to memory, without DuckDB's own progress bar."""
    connection = duckdb.connect(str(warehouse or ":memory:"), config={"memory_limit": memory_limit})
    connection.execute("set enable_progress_bar = false")
    return connection


def in_fresh_process(function: Callable[..., Result], *arguments: Any) -> Result:  # noqa: ANN401 - passed on
    """Call a module-level function in a new process, so that peaks and caches do not mix."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
