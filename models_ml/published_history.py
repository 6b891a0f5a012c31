"""The history in the published copy: one Parquet file a night, written once, and views over the files of a run.

    published/<source>/history/<as_of_date>-<rows>-<time of the last change>.parquet

A night that has not changed since an earlier publishing keeps its file, so that a copy costs as much as one night,
however many lie behind it. A file's name says which rows it holds: a change of a row raises the time, a removal lowers
the number of rows. Files that no run names any more are removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb

from models_ml.files import READ_ONLY, file_aside
from models_ml.warehouse import quoted, table_names

FOLDER = "history"
STORED = "int_stored_decisions"
HISTORY = "retention_actions_history"
NIGHT = re.compile(r"\d{4}-\d\d-\d\d-\d+-\d+\.parquet")


def write_nights(connection: duckdb.DuckDBPyConnection, folder: Path) -> list[Path]:
    """Write the nights of the warehouse that have no file yet; return the files of all, earliest first.

    The rows are those of `int_stored_decisions`; a copy of a warehouse elsewhere has whole rows instead.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    rows_of = _table(connection)
    nights = connection.execute(
        f"select as_of_date, count(*), epoch_us(max(updated_at)) from {rows_of} group by 1 order by 1"
    ).fetchall()
    files = [folder / f"{day}-{rows}-{changed}.parquet" for day, rows, changed in nights]
    folder.mkdir(parents=True, exist_ok=True)
    for (day, _, _), file in zip(nights, files, strict=True):
        if not file.exists():
            with file_aside(file) as aside:
                connection.execute(
                    f"copy (from {rows_of} where as_of_date = date '{day}' order by customer_id)"
                    f" to {quoted(aside)} (format parquet, compression zstd)"
                )
                aside.chmod(READ_ONLY)
    return files


def create_views(connection: duckdb.DuckDBPyConnection, copy: str, files: Sequence[Path]) -> None:
    """Create the history in the attached database `copy`: as in the warehouse, over the files.

    Files are named by their full paths, which a reader needs in the same place. A night of an earlier version may lack
    columns, which are then null.
    """
    rows_of = _table(connection)
    ((warehouse,),) = connection.execute("select current_database()").fetchall()
    whole_rows = connection.execute(
        f"select sql from duckdb_views() where database_name = current_database() and view_name = '{HISTORY}'"
    ).fetchall()
    listed = ", ".join(quoted(file) for file in files)
    connection.execute(f'use "{copy}"')
    try:
        connection.execute(f"create view {rows_of} as from read_parquet([{listed}], union_by_name = true)")
        for (sql,) in whole_rows:
            connection.execute(sql)
    finally:
        connection.execute(f'use "{warehouse}"')


def _table(connection: duckdb.DuckDBPyConnection) -> str:
    return STORED if STORED in table_names(connection) else HISTORY


def remove_unnamed(folder: Path, databases: Iterable[Path]) -> None:
    """Remove the files that none of the published databases names."""
    named: set[str] = set()
    for database in databases:
        with duckdb.connect(str(database), read_only=True) as connection:
            views = connection.execute(
                "select string_agg(sql) from duckdb_views() where not internal"
            ).fetchall()
            named.update(NIGHT.findall(f"{views}"))
    for file in folder.glob("*.parquet"):
        if file.name not in named:
            file.unlink()
