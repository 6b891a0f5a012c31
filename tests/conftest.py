"""Copies of the project in temporary folders, and dbt run in them as a user runs it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dbt_project_copy import ProjectCopy
from generate_churn_data import raw_chunks, write_parquet

ROOT = Path(__file__).resolve().parent.parent
RETAIL_VARIABLE = "RETENTION_TEST_RETAIL"


class Project(ProjectCopy):
    """A copy of the project for tests to build, query and change."""

    @property
    def variables(self) -> dict[str, str]:
        """Environment of every command, with one thread per library."""
        # Two builds at a time share two cores; waiting threads would starve both.
        return {**super().variables, "OMP_NUM_THREADS": "1", **self.environment}

    def dbt(self, *arguments: str, succeeds: bool = True) -> str:
        """Run dbt and return its output; fail the test when the exit code is not what was expected."""
        finished = self.run("dbt", "--no-use-colors", *arguments)
        assert (finished.returncode == 0) == succeeds, finished.output[-6000:]
        return finished.output

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
    return Project.create(folder, raw_data)


def generate_world(folder: Path, *, customers: int, seed: int = 7, months: int = 24) -> Path:
    """Generate a small subscription business as raw Parquet files."""
    write_parquet(raw_chunks(customers=customers, months=months, seed=seed, clean=False), folder)
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes the table of bad inputs."""
    parser.addoption(
        "--write-bad-inputs", action="store_true", help="Write tests/bad_inputs.md from what was answered."
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that needs a project as a build."""
    for item in items:
        if {"built_project", "fresh_copy", "new_project"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.build)


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw files of a business with 800 customers."""
    return generate_world(tmp_path_factory.mktemp("world") / "raw", customers=800)


@pytest.fixture(scope="session")
def built_project(tmp_path_factory: pytest.TempPathFactory, small_world: Path) -> Project:
    """A project built once on the small world; tests read it and copy it before they change anything."""
    project = copy_project(tmp_path_factory.mktemp("built") / "project", small_world)
    project.dbt("build", "--selector", "everything")  # unit tests of SQL too
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
