"""Publish what BI tools and CRM syncs read: a read-only DuckDB file and Parquet, never the warehouse itself.

The warehouse can be open in one process only; readers that opened it would lock the next build out. The copy is
written aside and renamed, so a reader holds either the earlier copy or the new one, whole.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from models_ml.errors import BayesPilotError
from models_ml.files import files_aside
from models_ml.warehouse import BUILD, open_warehouse

PUBLISHED_TABLES = (
    "retention_actions",
    "retention_actions_deliverable",
    "retention_actions_history",
    "retention_actions_sync",
    "policy_runs",
    "action_outcomes",
    "offer_effects",
    "pipeline_candidates",
    "pipeline_deployments",
    "quarantine",
    "erased_actions",
)
REPORT_PREFIX = "rpt_"  # every report table is published
PARQUET_TABLES = ("retention_actions", "retention_actions_deliverable")
# The oldest storage format that every DuckDB 1.x client opens; most BI drivers are behind the library.
STORAGE_VERSION = "v1.0.0"
COPY = "published_by_bayespilot"  # the warehouse is attached under the name of its file, which must differ


def publish(source: str, warehouse: Path, folder: Path) -> int:
    """Copy the public tables into ``folder`` and return the number of rows in retention_actions.

    Parameters
    ----------
    source : str
        Name of the source, for errors.
    warehouse : Path
        DuckDB file that dbt builds; no other process may hold it for writing.
    folder : Path
        Receives retention.duckdb, retention_actions.parquet and retention_actions_deliverable.parquet.

    Raises
    ------
    BayesPilotError
        If the warehouse is missing or in use, or retention_actions is missing or empty: the earlier copy stays.
    """
    with open_warehouse(source, warehouse) as connection, files_aside(folder, read_only=True) as aside:
        rows = int(connection.execute("select count(*) from retention_actions").fetchall()[0][0])
        if rows == 0:
            raise BayesPilotError(
                "retention_actions is empty; the copy published earlier stays as it is",
                where=str(warehouse),
                next_step=f"{BUILD.format(source=source)} (a build with --empty decides nothing)",
            )
        _write_copy(connection, aside)
    return rows


def _write_copy(connection: duckdb.DuckDBPyConnection, aside: Path) -> None:
    present = {
        name
        for (name,) in connection.execute(
            "select table_name from information_schema.tables where table_catalog = current_database()"
        ).fetchall()
    }
    reports = sorted(name for name in present if name.startswith(REPORT_PREFIX))
    connection.execute(
        f"attach '{aside / 'retention.duckdb'}' as {COPY} (read_write, storage_version '{STORAGE_VERSION}')"
    )
    for table in (*PUBLISHED_TABLES, *reports):
        if table in present:
            connection.execute(f"create table {COPY}.{table} as from {table}")
    for table in PARQUET_TABLES:
        connection.execute(
            f"copy {COPY}.{table} to '{aside / table}.parquet' (format parquet, compression zstd)"
        )
    connection.execute(f"detach {COPY}")
