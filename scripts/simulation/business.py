"""A copy of the project with raw data, warehouse and artifacts of its own, in which dbt runs as a user runs it."""

from __future__ import annotations

import csv
import os
import re
import resource
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models_ml.errors import BayesPilotError

PROJECT = Path(__file__).resolve().parents[2]
PROJECT_ENTRIES = ("dbt_project", "seeds", "dbt_project.yml", "profiles.yml", "selectors.yml")
SOURCE = "demo"
LINES_OF_ERROR = 40


@dataclass(frozen=True)
class BuildTime:
    """Seconds of one dbt build: by the clock, and of computing (which says more beside busy neighbours)."""

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Business:
    """The folder of one copy, and a name for its warehouse: several may stand beside each other.

    ``options`` are passed to every build; unit tests are about the project's code, not about its data.
    """

    folder: Path
    warehouse_name: str = SOURCE
    options: tuple[str, ...] = ("--exclude-resource-types", "unit_test")

    @property
    def raw(self) -> Path:
        """Folder of the raw Parquet files."""
        return self.folder / "raw"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file."""
        return self.folder / "warehouse" / f"{self.warehouse_name}.duckdb"

    def write_raw(self, tables: Mapping[str, pa.Table], ends_on: np.datetime64) -> None:
        """Write the raw tables and declare the last day of the data, which is the default as_of_date."""
        self.raw.mkdir(exist_ok=True)
        for name, table in tables.items():
            pq.write_table(table, self.raw / f"{name}.parquet", compression="zstd")
        declaration = self.folder / "dbt_project" / "sources" / SOURCE / "sources.yml"
        text, found = re.subn(
            r'data_ends_on: "[^"]*"', f"data_ends_on: \"date '{ends_on}'\"", declaration.read_text()
        )
        if found != 1:
            raise BayesPilotError(f"{found} lines declare data_ends_on", where=str(declaration))
        declaration.write_text(text)

    def build(self, *arguments: str) -> BuildTime:
        """Run ``dbt build`` and return the time it took.

        Raises
        ------
        BayesPilotError
            When it fails; the last lines of its output are part of the message.
        """
        command = [
            str(Path(sysconfig.get_path("scripts")) / "dbt"),
            *("--no-use-colors", "build", *self.options, *arguments),
        ]
        started, computed = time.perf_counter(), _children_seconds()
        finished = subprocess.run(
            command, cwd=self.folder, env=self._environment(), capture_output=True, text=True, check=False
        )
        if finished.returncode:
            lines = (finished.stdout + finished.stderr).splitlines()
            raise BayesPilotError(
                "dbt build failed:\n" + "\n".join(lines[-LINES_OF_ERROR:]), where=str(self.folder)
            )
        return BuildTime(time.perf_counter() - started, _children_seconds() - computed)

    def read(self, query: str) -> pa.Table:
        """Return the rows of a query on the warehouse, opened read-only."""
        with duckdb.connect(str(self.warehouse), read_only=True) as connection:
            return connection.sql(query).to_arrow_table()

    def _environment(self) -> dict[str, str]:
        """Nothing of the caller's own warehouse leaks in."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "RETENTION_"))
        }
        return kept | {
            "DBT_PROFILES_DIR": str(self.folder),
            "RETENTION_DATA": str(self.raw),
            "RETENTION_DB": str(self.warehouse),
        }


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def found_business(folder: Path) -> Business:
    """Copy what dbt needs of the project into ``folder``; what lies there already is an error."""
    if folder.exists() and any(folder.iterdir()):
        raise BayesPilotError(
            "the folder is not empty", where=str(folder), next_step="name a new folder, or remove this one"
        )
    for entry in PROJECT_ENTRIES:
        original = PROJECT / entry
        if original.is_dir():
            left_out = shutil.ignore_patterns("target", "logs", "raw", "__pycache__")
            shutil.copytree(original, folder / entry, ignore=left_out)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(original, folder / entry)
    for needed in ("warehouse", "models_ml", "reports"):
        (folder / needed).mkdir()
    return Business(folder)


Row = dict[str, str]


def rewrite_seed(business: Business, name: str, change: Callable[[list[Row]], list[Row]]) -> None:
    """Replace the rows of one of the copy's seeds by what ``change`` makes of them."""
    path = business.folder / "seeds" / SOURCE / f"{name}.csv"
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(change(rows))
