"""Copies of the project in temporary folders, and dbt run in them as a user runs it."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from dbt_project_copy import Finished, ProjectCopy, usage
from forked_commands import is_forked, run_forked
from generate_churn_data import raw_chunks, write_parquet
from hypothesis import settings
from shared_parsing import PARSED, SharedParsing
from sqlalchemy import Engine, event

if TYPE_CHECKING:
    from models_ml.serving.deciding import Asked

# How long an example takes says nothing about the code where other processes share the cores.
settings.register_profile("shared_machine", deadline=None)
settings.load_profile("shared_machine")

ROOT = Path(__file__).resolve().parent.parent
RETAIL_VARIABLE = "RETENTION_TEST_RETAIL"
BUILD_SHOP = ("build", "--vars", "{source: online_retail, allow_miscalibrated: true}")
PARSING = SharedParsing()
OWN_PARSING = ("--no-partial-parse", "--target-path")  # options of commands that read every file
# Neither tests, nor the search for them, nor files that describe the run.
UNTESTED = (
    "--no-write-json",
    "--indirect-selection",
    "empty",
    "--exclude-resource-types",
    "test",
    "unit_test",
)
# What leads to decisions, without reports, outcomes and data tests: half of a build.
DECISIONS = (*UNTESTED, "--select", "+retention_actions", "+policy_runs")
DECIDE = (*UNTESTED, "--selector", "decide")  # the decisions again, on existing scores


@event.listens_for(Engine, "connect")
def write_without_waiting(connection: object, _: object) -> None:
    """Let SQLite leave it to the operating system when the records of a training reach the disk."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("pragma synchronous = off")


class Project(ProjectCopy):
    """A copy of the project for tests to build, query and change."""

    @property
    def variables(self) -> dict[str, str]:
        """Environment of every command, with one thread per library and no log file of dbt, which nobody reads."""
        # Two builds at a time share two cores; waiting threads would starve both.
        quick = {"OMP_NUM_THREADS": "1", "DBT_LOG_LEVEL_FILE": "none"}
        return {**super().variables, **quick, **self.environment}

    def run(self, *command: str, cwd: Path | None = None) -> Finished:
        """Run a command in the copy to its end; dbt and Python modules start with their libraries loaded."""
        if not is_forked(command):
            return super().run(*command, cwd=cwd)
        variables = self.variables
        # Without a folder of its own, raw data lie relative to DBT_PROFILES_DIR, and views would name them so.
        shares = command[0] == "dbt" and not cwd and not set(OWN_PARSING) & set(command)
        raw_data = self.raw_data if shares else None
        if raw_data:
            variables["DBT_PROFILES_DIR"] = "."  # dbt reads anew what another connection has parsed
            PARSING.offer(self.folder, raw_data, command)
        code, stdout, stderr, seconds, used = run_forked(
            command, cwd=cwd or self.folder, environment=variables
        )
        if raw_data:
            PARSING.keep(self.folder, raw_data, command)
        return Finished(code, stdout, stderr, usage(seconds, used))

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
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns(PARSED.name))
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
    """Mark every test that needs a project as a build, and sort files so that two workers end at about the same time.

    One file that shares the built project comes first: its worker builds that while the other is busy with files that
    build projects of their own. The others that share it follow, and do not wait for it; short tests fill what is left.
    """
    building, sharing = set(), set()
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if {"built_project", "fresh_copy", "new_project"} & fixtures:
            item.add_marker(pytest.mark.build)
        if item.get_closest_marker("build"):
            building.add(item.path)
        if "built_project" in fixtures:
            sharing.add(item.path)
    first = next((item.path for item in items if item.path in sharing), None)
    items.sort(key=lambda item: (item.path != first, item.path not in building, item.path in sharing))


@pytest.fixture(scope="session", autouse=True)
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of a session share."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    PARSING.folder = folder / "parsed"
    return folder


@contextmanager
def made_once(folder: Path) -> Iterator[bool]:
    """Tell whether this process is the one that makes the folder; the others wait until it is whole."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        whole = folder.with_suffix(".whole")
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that has failed
        yield not whole.exists()
        whole.touch()


@pytest.fixture(scope="session")
def small_world(shared_folder: Path) -> Path:
    """Raw files of a business with 800 customers."""
    folder = shared_folder / "world"
    with made_once(folder) as is_new:
        if is_new:
            generate_world(folder, customers=800)
    return folder


@pytest.fixture(scope="session")
def built_project(
    tmp_path_factory: pytest.TempPathFactory, shared_folder: Path, small_world: Path
) -> Project:
    """A project built once on the small world; tests read it and copy it before they change anything."""
    original = Project(shared_folder / "built", small_world)
    with made_once(original.folder) as is_new:
        if is_new:
            copy_project(original.folder, small_world).dbt(
                "build", "--selector", "everything"
            )  # unit tests of SQL too
    return original.copy(tmp_path_factory.mktemp("built") / "project")  # a warehouse has one writer


@pytest.fixture(scope="module")
def published(built_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of published copies with the run of the built project, for the service."""
    from serving_data import publish_run  # imports what only the service needs

    folder = tmp_path_factory.mktemp("published")
    publish_run(built_project, folder)
    return folder


@pytest.fixture(scope="module")
def customers(built_project: Project) -> list[Asked]:
    """Customers of the built project, as they ask the service."""
    from serving_data import customers_of

    return customers_of(built_project)


@pytest.fixture(scope="module")
def nightly(built_project: Project) -> dict[str, dict[str, Any]]:
    """What the run of the built project decided, by customer."""
    from serving_data import nightly_rows

    return nightly_rows(built_project)


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


@pytest.fixture(scope="session")
def built_shop(shared_folder: Path, built_project: Project, retail_folder: Path) -> Project:
    """The built project with the real shop built beside the demo; tests copy it."""
    original = Project(shared_folder / "shop", retail_folder)
    with made_once(original.folder) as is_new:
        if is_new:
            built_project.copy(original.folder)
            # The shop's churn moves with the seasons: more left on the judged date than on the one that calibrates.
            original.dbt(*BUILD_SHOP, "--exclude-resource-types", "unit_test")
    return original
