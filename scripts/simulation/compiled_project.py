"""A built project run again without starting dbt: the same compiled SQL and Python models, in one process.

Starting and parsing take dbt longer than most models take to run. After one ``dbt build`` and one ``dbt compile``, this
module executes what leads to a run's decisions in the order of the DAG: tables are replaced, incremental tables get
their ``delete+insert``, views stay as they are. From run to run, only the declared last day of the data changes.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from dbt_project_copy import MAXRSS_UNIT, ProjectCopy, Usage

from models_ml.errors import BayesPilotError
from simulation.business import SOURCE

PACKAGE = "bayespilot"
KEPT = ("int_deployed_pipeline",)  # trained or found by the first build; months later it still fits
LEFT_EMPTY = ("int_churn_reasons",)  # words for people, which change no decision
EVIDENCE = "int_effect_evidence"  # left empty, beliefs stay what the seeds say
TARGETS = (
    "retention_actions_deliverable",
    "retention_actions",
    "offer_effects_history",
    "offer_effect_covariances_history",
    "policy_runs",
)
BEFORE_DECISIONS = (
    "--exclude-resource-types",
    "test",
    "unit_test",
    "--select",
    *(f"+{name}" for name in TARGETS),
)
THREADS = 2


@dataclass(frozen=True)
class Node:
    """One model: its compiled SQL, or its Python file; ``unique_key`` is that of an incremental table."""

    name: str
    materialized: str
    unique_key: str
    compiled: str
    python: Path | None


@dataclass(frozen=True)
class CompiledProject:
    """The models that lead to decisions, in an order in which they can run, compiled for data up to ``ends_on``.

    Where ``learns`` is false, no evidence reaches the effects of offers: the priors decide every month.
    """

    project: ProjectCopy
    nodes: tuple[Node, ...]
    ends_on: np.datetime64
    learns: bool = True

    @classmethod
    def of(
        cls, project: ProjectCopy, ends_on: np.datetime64, targets: Sequence[str] = TARGETS
    ) -> CompiledProject:
        """Compile a project that has been built for data up to ``ends_on``.

        Raises
        ------
        BayesPilotError
            When dbt cannot compile it, or a target is not a model of it.
        """
        selected = [f"+{target}" for target in targets]
        finished = project.run(
            "dbt", "--no-use-colors", "compile", "--indirect-selection", "empty", "--select", *selected
        )
        if finished.returncode:
            raise BayesPilotError(
                "dbt compile failed:\n" + finished.output[-2000:], where=str(project.folder)
            )
        manifest = json.loads((project.folder / "target" / "manifest.json").read_text(encoding="utf-8"))
        compiled = cls(project, tuple(_nodes(manifest, project.folder, targets)), ends_on)
        compiled._replace_views()  # those of a first build read no earlier runs
        return compiled

    def fork(self, folder: Path) -> CompiledProject:
        """Copy the warehouse, artifacts and raw files into a new copy of the project in ``folder``, ready to run there.

        Right after the first build, a fork starts where that build did: a run for the same date replaces its decisions.
        Its seed files are those of this project until they are written and loaded.
        """
        project = ProjectCopy.create(folder, folder / "raw")
        raw = self.project.raw_data
        if raw is None or project.raw_data is None:
            raise BayesPilotError("the business has no folder of raw data", where=str(self.project.folder))
        shutil.copytree(raw, project.raw_data)
        shutil.copytree(self.project.folder / "models_ml", folder / "models_ml", dirs_exist_ok=True)
        shutil.copy2(self.project.warehouse(), project.warehouse())
        moved = [
            dataclasses.replace(
                node,
                compiled=node.compiled.replace(str(raw), str(project.raw_data)),
                python=node.python and folder / node.python.relative_to(self.project.folder),
            )
            for node in self.nodes
        ]
        forked = dataclasses.replace(self, project=project, nodes=tuple(moved))
        forked._replace_views()
        return forked

    def _replace_views(self) -> None:
        with _opened(self.project.warehouse()) as connection:
            for node in self.nodes:
                if node.materialized == "view":
                    connection.execute(f"create or replace view {node.name} as {node.compiled}")

    def load_seeds(self) -> None:
        """Load the project's seeds again, as ``dbt seed`` would where only their values have changed.

        Conditions and cost expressions of offers are part of compiled SQL: a change of these needs a new compilation.
        """
        with _opened(self.project.warehouse()) as connection:
            for path in sorted((self.project.folder / "seeds" / SOURCE).glob("*.csv")):
                connection.execute(f"delete from {path.stem}")
                rows = f"select * from read_csv('{path}', header = true, all_varchar = true)"
                connection.execute(f"insert into {path.stem} by name {rows}")

    def run(self, ends_on: np.datetime64, notify: Callable[[str], None] = lambda name: None) -> Usage:
        """Run every model for data that end on ``ends_on``; ``notify`` is called with the name of each that has run."""
        started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        with _environment(self.project.variables), _opened(self.project.warehouse()) as connection:
            for node in self.nodes:
                self._run_node(connection, node, ends_on)
                notify(node.name)
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Usage(time.perf_counter() - started, cpu_seconds, after.ru_maxrss * MAXRSS_UNIT / 1e6)

    def _run_node(self, connection: duckdb.DuckDBPyConnection, node: Node, ends_on: np.datetime64) -> None:
        if node.name in KEPT:
            return
        if node.name in LEFT_EMPTY:
            connection.execute(f"delete from {node.name}")
        elif node.name == EVIDENCE and not self.learns:
            _store(connection, node, f"select * from {node.name} where false")
        elif node.python is not None:
            rows = _python_model(node.python)(_Dbt(connection), connection)
            _store(connection, node, "select * from rows_of_model", rows)
        elif node.materialized != "view":
            dated = node.compiled.replace(f"date '{self.ends_on}'", f"date '{ends_on}'")
            _store(connection, node, dated)


def _nodes(manifest: Mapping[str, Any], folder: Path, targets: Sequence[str]) -> Iterator[Node]:
    """Yield the targets and all models before them; the manifest's order decides between equals."""
    models = {key: node for key, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    wanted = [f"model.{PACKAGE}.{name}" for name in targets]
    if unknown := [key for key in wanted if key not in models]:
        raise BayesPilotError("models are not part of the project", values=unknown, where=str(folder))
    before: dict[str, list[str]] = {}
    while wanted:
        key = wanted.pop()
        if key not in before:
            parents = [parent for parent in models[key]["depends_on"]["nodes"] if parent in models]
            before[key] = [] if models[key]["name"] in KEPT + LEFT_EMPTY else parents
            wanted += before[key]
    for key in TopologicalSorter({key: before[key] for key in sorted(before)}).static_order():
        node = models[key]
        is_python = node["language"] == "python"
        yield Node(
            node["name"],
            node["config"]["materialized"],
            node["config"].get("unique_key") or "",
            node["compiled_code"],
            folder / node["original_file_path"] if is_python else None,
        )


def _store(connection: duckdb.DuckDBPyConnection, node: Node, select: str, rows: object = None) -> None:
    """Put the rows of a select, or of a Python model, where dbt would."""
    if rows is not None:
        connection.register("rows_of_model", rows)
    if node.materialized == "incremental":
        connection.execute(f"create or replace temporary table new_rows as {select}")
        connection.execute("begin transaction")
        if node.unique_key:  # without one, dbt only adds rows
            connection.execute(
                f"delete from {node.name} where {node.unique_key} in (select {node.unique_key} from new_rows)"
            )
        connection.execute(f"insert into {node.name} by name select * from new_rows")
        connection.execute("commit")
        connection.execute("drop table new_rows")
    else:
        connection.execute(f"create or replace table {node.name} as {select}")
    if rows is not None:
        connection.unregister("rows_of_model")


class _Dbt:
    """What a Python model asks of dbt: relations by name."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def ref(self, name: str) -> duckdb.DuckDBPyRelation:
        return self._connection.table(name)

    @staticmethod
    def config(**settings: object) -> None:
        """Accept settings, which dbt has read from the file."""


def _python_model(path: Path) -> Callable[[_Dbt, duckdb.DuckDBPyConnection], object]:
    spec = importlib.util.spec_from_file_location(f"dbt_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BayesPilotError("a Python model cannot be read", where=str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model: Callable[[_Dbt, duckdb.DuckDBPyConnection], object] = module.model
    return model


@contextmanager
def _opened(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse as dbt's profile does; compiled SQL names it by the stem of its file."""
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(f"set threads to {THREADS}")
        connection.execute("set TimeZone = 'UTC'")
        yield connection


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Let this process see the environment of the copy's commands."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
