"""Copies of the project with a warehouse and artifacts of their own, in which commands run as a user runs them.

Benchmarks, simulations and tests use them: nothing of this project's own warehouse or deployed pipeline changes. The
compiled SQL of a copy's models can be run again on changed raw files without starting dbt.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa

from models_ml.errors import BayesPilotError

PROJECT = Path(__file__).resolve().parents[1]
COPIED = ("dbt_project", "seeds", "dbt_project.yml", "profiles.yml", "selectors.yml")
# Prefixes of environment variables that a copy does not inherit; on a tracking server its pipeline would be champion.
OWN_SETTINGS = ("DBT_", "RETENTION_", "MLFLOW_")
LINES_OF_ERROR = 40
# ru_maxrss is in bytes on macOS, in kilobytes elsewhere.
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Usage:
    """What a piece of work took: elapsed seconds, CPU seconds of all threads, peak memory in megabytes."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str
    usage: Usage

    @property
    def output(self) -> str:
        """All that was printed, errors last."""
        return self.stdout + self.stderr


@dataclass
class ProjectCopy:
    """A copy of the project in ``folder``.

    ``raw_data`` is the folder of the source's raw files; without it dbt reads the copy's own ``seeds/raw``.
    ``environment`` is added to the environment of every command.
    """

    folder: Path
    raw_data: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def create(cls, folder: Path, raw_data: Path | None = None) -> Self:
        """Copy what dbt needs of the project into ``folder``; raw files only where ``raw_data`` is not given.

        Raises
        ------
        BayesPilotError
            When the folder exists and is not empty.
        """
        if folder.exists() and any(folder.iterdir()):
            raise BayesPilotError(
                "the folder is not empty",
                where=str(folder),
                next_step="name a new folder, or remove this one",
            )
        left_out = ("target", "logs", "__pycache__", *(("raw",) if raw_data else ()))
        for needed in ("warehouse", "models_ml"):
            (folder / needed).mkdir(parents=True)
        for entry in COPIED:
            if (PROJECT / entry).is_dir():
                ignored = shutil.ignore_patterns(*left_out)
                shutil.copytree(PROJECT / entry, folder / entry, ignore=ignored)
            else:
                shutil.copy2(PROJECT / entry, folder / entry)
        return cls(folder, raw_data)

    @property
    def variables(self) -> dict[str, str]:
        """Environment of every command: the caller's own, without settings of the caller's own project."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OWN_SETTINGS)}
        kept["DBT_PROFILES_DIR"] = str(self.folder)
        kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        if self.raw_data is not None:
            kept["RETENTION_DATA"] = str(self.raw_data)
        return kept | self.environment

    def run(self, *command: str, cwd: Path | None = None) -> Finished:
        """Run a command in the copy to its end, whatever its exit code."""
        return run_command(command, cwd=cwd or self.folder, environment=self.variables)

    def build(self, *arguments: str) -> Usage:
        """Run ``dbt build``.

        Raises
        ------
        BayesPilotError
            When it fails; the message ends with the last lines of the output.
        """
        finished = self.run("dbt", "--no-use-colors", "build", *arguments)
        if finished.returncode:
            lines = finished.output.strip().splitlines()[-LINES_OF_ERROR:]
            raise BayesPilotError("dbt build failed:\n" + "\n".join(lines), where=str(self.folder))
        return finished.usage

    def warehouse(self, source: str = "demo") -> Path:
        """Return the DuckDB file of a source (``RETENTION_DB`` in ``environment`` overrides it)."""
        return Path(self.environment.get("RETENTION_DB", self.folder / "warehouse" / f"{source}.duckdb"))

    def read(self, query: str) -> pa.Table:
        """Return the rows of a query on the demo's warehouse, opened read-only."""
        with duckdb.connect(str(self.warehouse()), read_only=True) as connection:
            return connection.sql(query).to_arrow_table()


def run_command(command: Sequence[str], *, cwd: Path, environment: Mapping[str, str]) -> Finished:
    """Run a command to its end.

    Its usage includes that of the processes that it started and waited for. Linux does not report a peak below that
    of the calling process.
    """
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stdout,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr,
    ):
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env=dict(environment), stdout=stdout, stderr=stderr)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)  # os.wait4 has taken the process's status
        stdout.seek(0), stderr.seek(0)
        return Finished(process.returncode, stdout.read(), stderr.read(), usage(seconds, used))


def usage(seconds: float, used: resource.struct_rusage) -> Usage:
    """Return elapsed seconds and what the operating system counted as a usage."""
    return Usage(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * MAXRSS_UNIT / 1e6)


class CompiledModels:
    """Table models of a built project, in the order in which dbt built them: those named, and all of valid rows.

    Views read the raw files anew at each query, so executing the tables again gives what dbt would build.
    """

    def __init__(self, folder: Path, warehouse: Path, names: tuple[str, ...]) -> None:
        nodes = json.loads((folder / "target" / "manifest.json").read_text())["nodes"]
        results = json.loads((folder / "target" / "run_results.json").read_text())["results"]
        built = [nodes[result["unique_id"]] for result in results if result["unique_id"] in nodes]
        self.statements = [
            (node["name"], _compiled(folder, node))
            for node in built
            if node["name"] in names or _holds_valid_rows(node)
        ]
        missing = set(names) - {name for name, _ in self.statements}
        assert not missing, f"not built: {sorted(missing)}"
        self.connection = duckdb.connect(str(warehouse))
        self.connection.execute("set threads to 2")

    def rebuild(self) -> None:
        """Build every table again."""
        for name, statement in self.statements:
            self.connection.execute(f"create or replace table {name} as {statement}")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.connection.execute(sql).fetchall()

    def close(self) -> None:
        """Release the warehouse."""
        self.connection.close()


def _holds_valid_rows(node: dict[str, Any]) -> bool:
    return "valid_rows" in node["fqn"] and node["config"]["materialized"] == "table"


def _compiled(folder: Path, node: dict[str, Any]) -> str:
    return (folder / node["compiled_path"]).read_text()
