"""Publish what BI tools and CRM syncs read: a read-only DuckDB file and Parquet, never the warehouse itself.

The warehouse can be open in one process only; readers that opened it would lock the next build out. The copy is
written aside and renamed, so a reader holds either the earlier copy or the new one, whole.

    python scripts/publish.py --source demo
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import duckdb
import typer
from rich.console import Console

from models_ml.errors import BayesPilotError
from models_ml.paths import published_folder, warehouse_path

PUBLISHED_TABLES = (
    "retention_actions",
    "retention_actions_deliverable",
    "retention_actions_history",
    "policy_runs",
    "action_outcomes",
    "offer_effects",
    "pipeline_candidates",
    "pipeline_deployments",
    "quarantine",
)
REPORT_PREFIX = "rpt_"  # every report table is published
PARQUET_TABLES = ("retention_actions", "retention_actions_deliverable")
# The oldest storage format that every DuckDB 1.x client opens; most BI drivers are behind the library.
STORAGE_VERSION = "v1.0.0"


def publish(warehouse: Path, folder: Path) -> int:
    """Copy the public tables into ``folder`` and return the number of rows in retention_actions.

    Parameters
    ----------
    warehouse : Path
        DuckDB file that dbt builds; no other process may hold it for writing.
    folder : Path
        Receives retention.duckdb, retention_actions.parquet and retention_actions_deliverable.parquet.

    Raises
    ------
    BayesPilotError
        If the warehouse is missing or locked, or retention_actions is missing or empty: the earlier copy stays.
    """
    rows = _rows_to_publish(warehouse)
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".publishing-{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        _write_copy(warehouse, aside)
        for finished in sorted(aside.iterdir()):
            finished.chmod(0o444)
            finished.replace(folder / finished.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return rows


def _rows_to_publish(warehouse: Path) -> int:
    if not warehouse.is_file():
        raise BayesPilotError("there is no warehouse to publish", where=str(warehouse), next_step="dbt build")
    try:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            rows = int(connection.execute("select count(*) from retention_actions").fetchall()[0][0])
    except duckdb.IOException as locked:
        raise BayesPilotError(
            f"the warehouse cannot be opened: {locked}",
            where=str(warehouse),
            next_step="wait until the process that holds it has ended, then publish again",
        ) from locked
    except duckdb.CatalogException as missing:
        raise BayesPilotError(
            "the warehouse holds no retention_actions", where=str(warehouse), next_step="dbt build"
        ) from missing
    if rows == 0:
        raise BayesPilotError(
            "retention_actions is empty; the copy published earlier stays as it is",
            where=str(warehouse),
            next_step="dbt build (without --empty), then publish again",
        )
    return rows


def _write_copy(warehouse: Path, aside: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"attach '{warehouse}' as warehouse (read_only)")
        connection.execute(
            f"attach '{aside / 'retention.duckdb'}' as copy (storage_version '{STORAGE_VERSION}')"
        )
        present = {
            name
            for (name,) in connection.execute(
                "select table_name from information_schema.tables where table_catalog = 'warehouse'"
            ).fetchall()
        }
        reports = sorted(name for name in present if name.startswith(REPORT_PREFIX))
        for table in (*PUBLISHED_TABLES, *reports):
            if table in present:
                connection.execute(f"create table copy.{table} as from warehouse.main.{table}")
        for table in PARQUET_TABLES:
            connection.execute(
                f"copy copy.{table} to '{aside / table}.parquet' (format parquet, compression zstd)"
            )
        connection.execute("detach copy")


def main(source: Annotated[str, typer.Option(help="Folder of dbt_project/sources.")] = "demo") -> None:
    """Publish the copy that BI tools and CRM syncs read."""
    console = Console()
    try:
        folder = published_folder(source)
        rows = publish(warehouse_path(source), folder)
    except BayesPilotError as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        sys.exit(1)
    console.print(f"Published {rows:,} rows to {folder}")


if __name__ == "__main__":
    typer.run(main)
