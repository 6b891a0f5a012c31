"""The real dbt project, run on a raw world in a folder of its own; nothing of the project folder changes."""

from __future__ import annotations

import json
import os
import shutil
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.measuring import Measure, run_command
from models_ml.paths import project_root

FEATURE_MODELS = "dbt_project/models/features/"
SELECTED = ("+customer_features", "int_feature_schema")


@dataclass(frozen=True)
class Workplace:
    """Where a benchmark keeps raw tables, warehouses and dbt's own files; ``memory_limit`` is DuckDB's."""

    folder: Path
    memory_limit: str

    @property
    def raw(self) -> Path:
        """Folder of the raw tables."""
        return self.folder / "raw"

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

    def enter(self) -> None:
        """Make this folder the project of the process: what the real project has deployed stays untouched."""
        (self.folder / "dbt_project.yml").touch()
        os.environ["DBT_PROFILES_DIR"] = str(self.folder)

    def forget(self, name: str) -> None:
        """Remove a warehouse, if there is one."""
        for left in self.folder.glob(f"{name}.duckdb*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()

    def build(self, name: str, variables: Mapping[str, Any], *, empty: bool = False) -> Measure:
        """Build features into a warehouse; seconds are those in which a feature model was being built."""
        target = self.folder / "target"
        command = [
            str(Path(sysconfig.get_path("scripts")) / "dbt"),
            *("--no-use-colors", "--no-partial-parse", "build", "--select", *SELECTED),
            *("--exclude-resource-types", "test", "unit_test"),
            *("--vars", json.dumps({"source": "demo", **variables})),
            *("--target-path", str(target), "--log-path", str(self.folder / "logs")),
            *(["--empty"] if empty else []),
        ]
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("DBT_", "RETENTION_"))},
            "DBT_PROFILES_DIR": str(project_root()),
            "RETENTION_DATA": str(self.raw),
            "RETENTION_DB": str(self.warehouse(name)),
            "RETENTION_MEMORY_LIMIT": self.memory_limit,
        }
        whole = run_command(
            command, cwd=project_root(), environment=environment, log=self.folder / f"{name}.log"
        )
        return Measure(feature_seconds(target), whole.cpu_seconds, whole.peak_mb)


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
