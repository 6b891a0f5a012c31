"""Download UCI Online Retail II, or convert a copy on disk, to ``invoice_lines.parquet`` in the raw-data folder.

    python scripts/fetch_online_retail.py
    python scripts/fetch_online_retail.py --from-file online_retail_II.xlsx --out my_folder

The published file is read, checked and written as typed invoice lines. The workbook has one sheet a year, and the
second begins before the first ends: lines in both sheets are taken from the second. Nothing else is changed; the
staging models interpret the lines.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import duckdb
import pyarrow as pa
import typer
from rich.console import Console
from rich.progress import Progress

from models_ml.errors import BayesPilotError
from models_ml.paths import project_root

URL = "https://archive.ics.uci.edu/static/public/502/online+retail+ii.zip"
SOURCE = "Chen, D. (2012). Online Retail II. UCI Machine Learning Repository. https://doi.org/10.24432/C5CG6D"
LICENCE = "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/"
PUBLISHED_FROM, PUBLISHED_TO = "2009-12-01", "2011-12-09"
BY_HAND = (
    f"download {URL} in a browser, then run: "
    "python scripts/fetch_online_retail.py --from-file <the downloaded file>"
)
FILE_NAME = "invoice_lines.parquet"

# output column: its type, and its headings in the published versions of the file
COLUMNS = {
    "invoice_no": ("varchar", {"invoice", "invoiceno"}),
    "stock_code": ("varchar", {"stockcode"}),
    "description": ("varchar", {"description"}),
    "quantity": ("integer", {"quantity"}),
    "invoice_at": ("timestamp", {"invoicedate", "invoiceat"}),
    "unit_price": ("double", {"price", "unitprice"}),
    "customer_id": ("integer", {"customerid"}),
    "country": ("varchar", {"country"}),
}
MAY_BE_MISSING = {"description", "customer_id"}
TEXT_SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS])
TABULAR = (".xlsx", ".csv")
BATCH_ROWS = 50_000


@dataclass(frozen=True)
class Figures:
    """Figures of the written file."""

    lines: int
    repeated_lines: int
    invoices: int
    customers: int
    lines_without_customer: int
    first_day: str
    last_day: str
    sha256: str


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
    """Return SQL that appends the named columns of a relation, in the order of ``COLUMNS``; numbering continues."""
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
            "the file is neither a workbook (.xlsx), nor a CSV file, nor a complete zip archive of one",
            where=str(path),
            next_step=BY_HAND,
        ) from error
    return target


def cast_text(name: str, data_type: str) -> str:
    """Return SQL that reads a text column; a whole number may end in ``.0``, as CSV exports write it.

    Examples
    --------
    >>> cast_text("unit_price", "double")
    'try_cast(unit_price as double)'
    >>> cast_text("customer_id", "integer")
    "try_cast(regexp_replace(customer_id, '[.]0+$', '') as integer)"
    """
    # try_cast alone would round 2.5 to 2
    text = f"regexp_replace({name}, '[.]0+$', '')" if data_type == "integer" else name
    return f"try_cast({text} as {data_type})"


def is_broken(name: str, data_type: str) -> str:
    """Return the SQL condition under which a text column holds no value of its type."""
    broken = f"{cast_text(name, data_type)} is null"
    if data_type == "integer":
        broken = f"({broken} or not regexp_full_match({name}, '-?[0-9]+([.]0+)?'))"
    return f"{name} is not null and {broken}" if name in MAY_BE_MISSING else broken


def type_lines(connection: duckdb.DuckDBPyConnection, where: str) -> None:
    """Cast table ``raw_lines`` into table ``typed_lines``.

    Raises
    ------
    BayesPilotError
        If a value is missing, or is not of its column's type.
    """
    for name, (data_type, _) in COLUMNS.items():
        values = connection.execute(
            f"select coalesce({name}, 'nothing') || ' (line ' || line_number || ')' from raw_lines"
            f" where {is_broken(name, data_type)} order by line_number"
        ).fetchall()
        if values:
            raise BayesPilotError(
                f"{len(values)} values of {name} are not of type {data_type}",
                where=where,
                values=[value for (value,) in values],
                next_step=BY_HAND,
            )
    casts = ", ".join(f"{cast_text(name, data_type)} as {name}" for name, (data_type, _) in COLUMNS.items())
    connection.execute(
        f"create table typed_lines as select sheet_number, line_number, {casts} from raw_lines"
    )


def keep_each_sheet_once(connection: duckdb.DuckDBPyConnection) -> int:
    """Fill table ``lines`` without lines that a later sheet repeats; return the number of lines left out.

    A line is left out where the next sheet holds the same. Lines that are repeated within a sheet stay: the staging
    models interpret them.
    """
    columns = ", ".join(COLUMNS)
    same = " and ".join(f"later.{name} is not distinct from typed_lines.{name}" for name in COLUMNS)
    connection.execute(
        "create table repeated as select line_number from typed_lines where exists ("
        "select 1 from typed_lines as later"
        f" where later.sheet_number = typed_lines.sheet_number + 1 and {same})"
    )
    connection.execute(
        f"create table lines as select {columns} from typed_lines"
        " where line_number not in (select line_number from repeated) order by line_number"
    )
    return int(connection.execute("select count(*) from repeated").fetchall()[0][0])


def check_period(connection: duckdb.DuckDBPyConnection, where: str) -> None:
    """Check that there are lines, all of them in the published period.

    Raises
    ------
    BayesPilotError
        If there is no line, or one lies outside.
    """
    if connection.execute("select count(*) from lines").fetchall()[0][0] == 0:
        raise BayesPilotError("the file holds no invoice lines", where=where, next_step=BY_HAND)
    outside = connection.execute(
        "select cast(invoice_at as varchar) from lines"
        f" where cast(invoice_at as date) not between date '{PUBLISHED_FROM}' and date '{PUBLISHED_TO}'"
        " order by invoice_at"
    ).fetchall()
    if outside:
        raise BayesPilotError(
            f"{len(outside)} lines lie outside {PUBLISHED_FROM} to {PUBLISHED_TO}, the published period",
            where=where,
            values=[value for (value,) in outside],
            next_step=BY_HAND,
        )


def write_lines(connection: duckdb.DuckDBPyConnection, target: Path) -> None:
    """Write table ``lines`` aside, then rename the file, so that a reader never sees an incomplete one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    quoted = str(partial).replace("'", "''")
    try:
        connection.execute(
            f"copy lines to '{quoted}' (format parquet, compression zstd,"
            f" kv_metadata {{source: '{SOURCE}', licence: '{LICENCE}'}})"
        )
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def count_figures(connection: duckdb.DuckDBPyConnection, target: Path, repeated_lines: int) -> Figures:
    """Count what table ``lines`` holds, and take the checksum of the file written from it."""
    lines, invoices, customers, without_customer, first_day, last_day = connection.execute(
        "select count(*), count(distinct invoice_no), count(distinct customer_id),"
        " count(*) filter (where customer_id is null),"
        " cast(min(cast(invoice_at as date)) as varchar), cast(max(cast(invoice_at as date)) as varchar)"
        " from lines"
    ).fetchall()[0]
    with target.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Figures(lines, repeated_lines, invoices, customers, without_customer, first_day, last_day, sha256)


def download(target: Path, progress: Progress) -> None:
    """Download the official archive.

    Raises
    ------
    BayesPilotError
        If the archive cannot be reached or is incomplete; the message says how to continue by hand.
    """
    try:
        with urllib.request.urlopen(URL, timeout=60) as answer, target.open("wb") as archive:
            size = int(answer.headers.get("Content-Length") or 0)
            task = progress.add_task("downloading", total=size or None)
            while block := answer.read(1 << 20):
                archive.write(block)
                progress.advance(task, len(block))
    except OSError as error:
        raise BayesPilotError(
            f"the official file could not be downloaded: {error}", where=URL, next_step=BY_HAND
        ) from error
    if size and target.stat().st_size != size:
        raise BayesPilotError("the download is incomplete", where=URL, next_step=f"try again, or {BY_HAND}")


def convert(path: Path, target: Path, progress: Progress) -> Figures:
    """Convert a workbook, a CSV export or a zip archive of one to the Parquet file ``target``.

    Raises
    ------
    BayesPilotError
        If the file is missing, unreadable, or not Online Retail II; ``target`` is then as it was.
    """
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        load_lines(connection, unpacked(path, Path(folder)), progress)
        task = progress.add_task("checking and writing", total=None)
        type_lines(connection, str(path))
        repeated_lines = keep_each_sheet_once(connection)
        check_period(connection, str(path))
        write_lines(connection, target)
        progress.update(task, total=1, completed=1)
        return count_figures(connection, target, repeated_lines)


def raw_data_folder() -> Path:
    """Return the folder that the source reads: ``RETENTION_DATA``, else seeds/raw/online_retail."""
    configured = os.environ.get("RETENTION_DATA")
    return Path(configured) if configured else project_root() / "seeds" / "raw" / "online_retail"


def report(figures: Figures, target: Path) -> None:
    """Print what was written, where it comes from and under which licence."""
    typer.echo(
        f"{target}: {figures.lines:,} invoice lines, {figures.first_day} to {figures.last_day}\n"
        f"  {figures.invoices:,} invoices, {figures.customers:,} customers;"
        f" {figures.lines_without_customer:,} lines without a customer\n"
        f"  {figures.repeated_lines:,} lines in two sheets were taken once\n"
        f"  sha256 {figures.sha256}\n"
        f"  source {SOURCE}\n"
        f"  licence {LICENCE}\n"
        f"next: RETENTION_DATA='{target.parent}' dbt build --vars '{{source: online_retail}}'"
    )


def main(
    from_file: Annotated[
        Path | None, typer.Option(help="Convert this .xlsx, .csv or .zip instead of downloading.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the file; RETENTION_DATA or seeds/raw/online_retail if not given."),
    ] = None,
) -> None:
    """Download UCI Online Retail II, or convert a copy, to invoice_lines.parquet in the raw-data folder."""
    try:
        target = (out or raw_data_folder()) / FILE_NAME
        with (
            tempfile.TemporaryDirectory() as downloads,
            Progress(console=Console(stderr=True), transient=True) as progress,
        ):
            path = from_file or Path(downloads) / "online_retail_ii.zip"
            if from_file is None:
                download(path, progress)
            figures = convert(path, target, progress)
    except BayesPilotError as error:
        typer.secho(str(error), err=True, fg="red")
        raise typer.Exit(1) from error
    report(figures, target)


if __name__ == "__main__":
    typer.run(main)
