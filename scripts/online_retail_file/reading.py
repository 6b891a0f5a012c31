"""From the published file (a workbook, a CSV export, or a zip archive of one) to a DuckDB table of text."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import duckdb
import pyarrow as pa
from rich.progress import Progress

from models_ml.errors import BayesPilotError
from online_retail_file import BY_HAND, COLUMNS, TEXT_SCHEMA

TABULAR = (".xlsx", ".csv")
BATCH_ROWS = 50_000


def load_lines(connection: duckdb.DuckDBPyConnection, path: Path, progress: Progress) -> None:
    """Create table ``raw_lines``: sheet_number, line_number (in file order) and every column as text.

    Raises
    ------
    BayesPilotError
        If the file cannot be read, or lacks a column.
    """
    fields = ", ".join(f"{name} varchar" for name in COLUMNS)
    connection.execute(f"create table raw_lines (sheet_number integer, line_number bigint, {fields})")
    if path.suffix.lower() == ".csv":
        load_csv(connection, path, progress)
    else:
        load_workbook(connection, path, progress)


def load_workbook(connection: duckdb.DuckDBPyConnection, path: Path, progress: Progress) -> None:
    """Append the rows of every sheet to ``raw_lines``, 50,000 at a time."""
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError as error:
        raise BayesPilotError(
            "reading .xlsx needs python-calamine, which is not installed",
            where=str(path),
            next_step="pip install -e '.[retail]', or save all sheets as one .csv and use --from-file",
        ) from error
    try:
        workbook = CalamineWorkbook.from_path(str(path))
        for sheet_number, sheet_name in enumerate(workbook.sheet_names):
            task = progress.add_task(f"reading sheet {sheet_name}", total=None)
            sheet = workbook.get_sheet_by_name(sheet_name)
            progress.update(task, total=sheet.height)
            for batch in sheet_batches(sheet.iter_rows(), f"{path}, sheet {sheet_name}"):
                connection.register("batch", batch)
                connection.execute(insert_lines(sheet_number, list(COLUMNS), "batch"))
                connection.unregister("batch")
                progress.advance(task, batch.num_rows)
    except CalamineError as error:
        raise BayesPilotError(
            f"the workbook cannot be read: {error}", where=str(path), next_step=BY_HAND
        ) from error


def load_csv(connection: duckdb.DuckDBPyConnection, path: Path, progress: Progress) -> None:
    """Append the rows of a CSV file with one heading line, in UTF-8, to ``raw_lines``."""
    task = progress.add_task(f"reading {path.name}", total=None)
    quoted = str(path).replace("'", "''")
    file = f"read_csv('{quoted}', all_varchar = true, header = true, delim = ',', quote = '\"')"
    try:
        relation = connection.sql(f"select * from {file}")
        order = column_order(relation.columns, str(path))
        names = ['"' + relation.columns[position].replace('"', '""') + '"' for position in order]
        connection.execute(insert_lines(0, names, file))
    except duckdb.Error as error:
        raise BayesPilotError(
            f"the CSV file cannot be read: {str(error).splitlines()[0]}",
            where=str(path),
            next_step="save it as comma-separated UTF-8 text with one line of headings",
        ) from error
    progress.update(task, total=1, completed=1)


def insert_lines(sheet_number: int, names: list[str], relation: str) -> str:
    """Return SQL that appends the named columns of a relation, in the order of ``COLUMNS``, numbered on."""
    return (
        f"insert into raw_lines select {sheet_number},"
        f" (select count(*) from raw_lines) + row_number() over (), {', '.join(names)} from {relation}"
    )


def sheet_batches(rows: Iterable[Sequence[object]], where: str) -> Iterator[pa.RecordBatch]:
    """Yield the rows below the headings of a sheet as text."""
    remaining = iter(rows)
    headings = [cell_text(cell) or "" for cell in next(remaining, [])]
    order = column_order(headings, where)
    while chunk := list(islice(remaining, BATCH_ROWS)):
        columns = [pa.array([cell_text(row[position]) for row in chunk], pa.string()) for position in order]
        yield pa.RecordBatch.from_arrays(columns, schema=TEXT_SCHEMA)


def cell_text(cell: object) -> str | None:
    """Return a worksheet cell as the text that a CSV export would hold; None for an empty cell.

    Examples
    --------
    >>> from datetime import datetime
    >>> cell_text(489434.0), cell_text(6.95), cell_text(datetime(2009, 12, 1, 7, 45)), cell_text("")
    ('489434', '6.95', '2009-12-01 07:45:00', None)
    """
    if cell is None or cell == "":
        return None
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def column_order(headings: list[str], where: str) -> list[int]:
    """Return the position of each column of ``COLUMNS`` among the headings of a sheet or CSV file.

    Raises
    ------
    BayesPilotError
        If a column is missing.

    Examples
    --------
    >>> column_order(["Country", "Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price",
    ...     "Customer ID"], "a sheet")
    [1, 2, 3, 4, 5, 6, 7, 0]
    """
    found = [heading.lower().replace(" ", "").replace("_", "") for heading in headings]
    missing = [name for name, (_, known) in COLUMNS.items() if not known & set(found)]
    if missing:
        raise BayesPilotError(
            f"the file is not Online Retail II: no column for {', '.join(missing)}",
            where=where,
            values=headings,
            next_step=BY_HAND,
        )
    return [
        next(position for position, heading in enumerate(found) if heading in known)
        for _, known in COLUMNS.values()
    ]


def unpacked(path: Path, folder: Path) -> Path:
    """Return the workbook or CSV file: ``path``, or what a zip archive holds, unpacked into ``folder``.

    Raises
    ------
    BayesPilotError
        If there is no such file, if it is of another kind, or if the archive is broken or does not hold
        exactly one workbook or CSV file.
    """
    if not path.is_file():
        raise BayesPilotError("there is no such file", where=str(path), next_step=BY_HAND)
    if path.suffix.lower() in TABULAR:
        return path
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if Path(name).suffix.lower() in TABULAR]
            if len(members) != 1:
                raise BayesPilotError(
                    "the archive must hold exactly one workbook or CSV file",
                    where=str(path),
                    values=archive.namelist(),
                    next_step=BY_HAND,
                )
            target = folder / f"online_retail{Path(members[0]).suffix.lower()}"
            with archive.open(members[0]) as packed, target.open("wb") as plain:
                shutil.copyfileobj(packed, plain)
    except zipfile.BadZipFile as error:
        raise BayesPilotError(
            "the file is no workbook (.xlsx), no CSV file and no whole zip archive of one",
            where=str(path),
            next_step=BY_HAND,
        ) from error
    return target
