"""Copies of the project in temporary folders, and dbt run in them as a user runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

ROOT = Path(__file__).resolve().parent.parent
RETAIL_VARIABLE = "RETENTION_TEST_RETAIL"
PROJECT_ENTRIES = ("dbt_project", "seeds", "dbt_project.yml", "profiles.yml", "selectors.yml")


@dataclass
class Project:
    """A copy of the project with its own warehouse, artifacts and raw data."""

    folder: Path
    raw_data: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        """Environment of every command: nothing of the caller's own settings leaks in."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("RETENTION_", "DBT_"))
        }
        kept["DBT_PROFILES_DIR"] = str(self.folder)
        kept["OMP_NUM_THREADS"] = (
            "1"  # two builds at a time share two cores; waiting threads would starve both
        )
        kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        if self.raw_data is not None:
            kept["RETENTION_DATA"] = str(self.raw_data)
        return kept | self.environment

    def run(self, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command in the copy and return what it printed."""
        return subprocess.run(
            command, cwd=cwd or self.folder, env=self.variables, capture_output=True, text=True, check=False
        )

    def dbt(self, *arguments: str, succeeds: bool = True) -> str:
        """Run dbt and return its output; fail the test when the exit code is not what was expected."""
        finished = self.run("dbt", "--no-use-colors", *arguments)
        output = finished.stdout + finished.stderr
        assert (finished.returncode == 0) == succeeds, output[-6000:]
        return output

    def warehouse(self, source: str = "demo") -> Path:
        """Return the DuckDB file of a source."""
        return self.folder / "warehouse" / f"{source}.duckdb"

    def query(self, sql: str, source: str = "demo") -> list[tuple[Any, ...]]:
        """Return the rows of a query on the warehouse, opened read-only."""
        with duckdb.connect(str(self.warehouse(source)), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def copy(self, folder: Path) -> Project:
        """Return an independent copy, built state included."""
        shutil.copytree(self.folder, folder)
        return Project(folder, self.raw_data, dict(self.environment))


def copy_project(folder: Path, raw_data: Path | None = None) -> Project:
    """Copy what dbt needs of the project into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in PROJECT_ENTRIES:
        original = ROOT / entry
        if original.is_dir():
            shutil.copytree(original, folder / entry, ignore=shutil.ignore_patterns("target", "logs"))
        else:
            shutil.copy2(original, folder / entry)
    (folder / "warehouse").mkdir()
    (folder / "models_ml").mkdir()
    return Project(folder, raw_data)


def generate_world(folder: Path, *, customers: int, seed: int = 7, months: int = 24) -> Path:
    """Generate a small subscription business as raw Parquet files."""
    subprocess.run(
        [
            sys.executable,
            str(ROOT / "scripts" / "generate_churn_data.py"),
            *(
                "--customers",
                str(customers),
                "--months",
                str(months),
                "--seed",
                str(seed),
                "--out",
                str(folder),
            ),
        ],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw files of a business with 800 customers."""
    return generate_world(tmp_path_factory.mktemp("world") / "raw", customers=800)


@pytest.fixture(scope="session")
def built_project(tmp_path_factory: pytest.TempPathFactory, small_world: Path) -> Project:
    """A project built once on the small world; tests read it and copy it before they change anything."""
    project = copy_project(tmp_path_factory.mktemp("built") / "project", small_world)
    project.dbt("build")
    return project


@pytest.fixture
def fresh_copy(built_project: Project, tmp_path: Path) -> Project:
    """A built project of the test's own."""
    return built_project.copy(tmp_path / "project")


@pytest.fixture
def new_project(tmp_path: Path) -> Callable[..., Project]:
    """A function that copies the unbuilt project, on raw data of the test's choice."""

    def create(raw_data: Path | None = None, name: str = "project") -> Project:
        return copy_project(tmp_path / name, raw_data)

    return create


@pytest.fixture(scope="session")
def retail_folder() -> Path:
    """Folder of the real shop's invoice lines."""
    folder = os.environ.get(RETAIL_VARIABLE)
    if not folder or not (Path(folder) / "invoice_lines.parquet").is_file():
        pytest.skip(
            f"{RETAIL_VARIABLE} names no folder with invoice_lines.parquet; see scripts/fetch_online_retail.py"
        )
    return Path(folder)
