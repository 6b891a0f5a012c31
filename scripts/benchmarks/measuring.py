"""Seconds, CPU seconds and peak memory of work done in a process of its own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from models_ml.errors import BayesPilotError

Result = TypeVar("Result")
# ru_maxrss is in bytes on macOS, in kilobytes elsewhere.
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Measure:
    """What a piece of work took: elapsed seconds, CPU seconds of all threads, peak memory in megabytes."""

    seconds: float
    cpu_seconds: float
    peak_mb: float

    def less_start(self, start: Measure) -> Measure:
        """Return the measure without the CPU of a start that did no work."""
        return Measure(self.seconds, max(self.cpu_seconds - start.cpu_seconds, 0.0), self.peak_mb)


def best(measures: Iterable[Measure]) -> Measure:
    """Return the least time and the highest peak: neighbours on the machine only ever add time.

    Examples
    --------
    >>> best([Measure(2.0, 3.0, 100.0), Measure(2.5, 2.9, 120.0)])
    Measure(seconds=2.0, cpu_seconds=2.9, peak_mb=120.0)
    """
    listed = list(measures)
    return Measure(
        min(one.seconds for one in listed),
        min(one.cpu_seconds for one in listed),
        max(one.peak_mb for one in listed),
    )


def clocked(work: Callable[[], Result]) -> tuple[Result, Measure]:
    """Do some work in this process; its peak is that of the process so far."""
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    result = work()
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    return result, Measure(seconds, _cpu(after) - _cpu(before), _peak(after))


def quiet_connection(warehouse: Path | None = None, memory_limit: str = "80%") -> duckdb.DuckDBPyConnection:
    """Connect to a DuckDB file, or to memory, without DuckDB's own progress bar."""
    connection = duckdb.connect(str(warehouse or ":memory:"), config={"memory_limit": memory_limit})
    connection.execute("set enable_progress_bar = false")
    return connection


def in_fresh_process(function: Callable[..., Result], *arguments: Any) -> Result:  # noqa: ANN401 - passed on
    """Call a module-level function in a new process, so that peaks and caches do not mix."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def run_command(command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], log: Path) -> Measure:
    """Run a command to its end, its output in ``log``, and return what the whole process took.

    Raises
    ------
    BayesPilotError
        If it fails; the message ends with the last lines of the output.
    """
    started = time.perf_counter()
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env=dict(environment), stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # reaped here, for the sake of its usage
    if process.returncode:
        raise BayesPilotError(
            f"{' '.join(command[:2])} ended with exit code {process.returncode}",
            where=str(log),
            values=log.read_text(encoding="utf-8").strip().splitlines()[-5:],
            next_step="read the output, or run the benchmark with --folder to keep it",
        )
    return Measure(time.perf_counter() - started, _cpu(usage), _peak(usage))


def _cpu(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def _peak(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss * MAXRSS_UNIT / 1e6
