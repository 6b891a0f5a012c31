"""The target `spark`: the published copy of a run is that of DuckDB, table by table and row by row."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from conftest import UNTESTED, Project, copy_project

JAVA = Path(os.environ.get("JAVA_HOME", "")) / "bin" / "java" if "JAVA_HOME" in os.environ else shutil.which("java")
HAS_SPARK = all(importlib.util.find_spec(name) for name in ("pyspark", "dbt.adapters.spark"))
pytestmark = [
    pytest.mark.skipif(not HAS_SPARK, reason="the extra spark is not installed: pip install -e '.[spark]'"),
    pytest.mark.skipif(not (JAVA and Path(JAVA).is_file()), reason="there is no Java: install Java 17 or 21"),
]
# What a small world is built with in little time: no compiled stages, and the quick half of Java's compiler.
QUICK = {
    "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "PYSPARK_SUBMIT_ARGS": (
        "--conf spark.sql.codegen.wholeStage=false --conf spark.sql.codegen.factoryMode=NO_CODEGEN pyspark-shell"
    ),
}
# What two builds of one run tell differently: times, and which of them has trained.
OF_THE_BUILD = {
    "decided_at", "updated_at", "scored_at", "dbt_invocation_id", "mlflow_run_id",
    "was_trained_now", "trained_because", "training_outcome", "training_outcome_reason",
}  # fmt: skip


def published_by(project: Project, *options: str) -> Path:
    finished = project.run("bayespilot", "publish", *options)
    assert finished.returncode == 0, finished.output[-4000:]
    return project.folder / "warehouse" / "published" / "demo" / "current" / "retention.duckdb"


def differences(expected: Path, found: Path) -> list[str]:
    """Return what differs between the tables of two published copies, as texts.

    Numbers are compared to 9 digits, what is left out is `OF_THE_BUILD`.
    """
    with duckdb.connect() as connection:
        connection.execute(f"attach '{expected}' as expected (read_only)")
        connection.execute(f"attach '{found}' as found (read_only)")
        columns: dict[str, dict[str, dict[str, str]]] = {"expected": {}, "found": {}}
        for copy, table, column, kind in connection.execute(
            "select database_name, table_name, column_name, data_type from duckdb_columns()"
            " where database_name in ('expected', 'found') and table_name <> 'published_run'"
        ).fetchall():
            columns[copy].setdefault(table, {})[column] = kind
        tables = columns["expected"].keys() & columns["found"].keys()
        said = [f"{table}: in one copy only" for table in columns["expected"].keys() ^ columns["found"].keys()]
        for table in sorted(tables):
            ours, theirs = columns["expected"][table], columns["found"][table]
            said += [f"{table}.{column}: in one copy only" for column in ours.keys() ^ theirs.keys()]
            compared = ", ".join(
                f'round("{name}", 9)' if kind == "DOUBLE" else f'"{name}"'
                for name, kind in ours.items()
                if name in theirs and name not in OF_THE_BUILD
            )
            for one, other in (("expected", "found"), ("found", "expected")):
                rows = connection.execute(
                    f"select {compared} from {one}.{table} except all select {compared} from {other}.{table} limit 3"
                ).fetchall()
                said += [f"{table}, only in {one}: {row}" for row in rows]
        return said
