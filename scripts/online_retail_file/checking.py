"""From a DuckDB table of text to typed invoice lines, once each, inside the published period."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import duckdb

from models_ml.errors import BayesPilotError
from online_retail_file import (
    BY_HAND,
    COLUMNS,
    LICENCE,
    MAY_BE_MISSING,
    PUBLISHED_FROM,
    PUBLISHED_TO,
    SOURCE,
)


@dataclass(frozen=True)
class Figures:
    """What the written file holds."""

    lines: int
    repeated_lines: int
    invoices: int
    customers: int
    lines_without_customer: int
    first_day: str
    last_day: str
    sha256: str


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
                f"{len(values)} values of {name} are no {data_type}",
                where=where,
                values=[value for (value,) in values],
                next_step=BY_HAND,
            )
    casts = ", ".join(f"{cast_text(name, data_type)} as {name}" for name, (data_type, _) in COLUMNS.items())
    connection.execute(
        f"create table typed_lines as select sheet_number, line_number, {casts} from raw_lines"
    )


def keep_each_sheet_once(connection: duckdb.DuckDBPyConnection) -> int:
    """Fill table ``lines`` without what a later sheet repeats; return the number of lines left out.

    A line is left out where the next sheet holds the same. Lines that one sheet repeats by itself stay: what
    they mean is for the staging models to say.
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
    """Write table ``lines`` aside, then rename it, so that a reader never sees half a file."""
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
