"""Raw tables of a new source: the columns of its files (CSV, Parquet) or of the tables in its warehouse."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import duckdb

from models_ml.errors import BayesPilotError

SUFFIXES = (".csv", ".parquet")
UNREADABLE = re.compile(r"[{}'\"\\$]")  # would end the quoted path or its template in sources.yml
PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*", re.IGNORECASE)
ID_NAME = re.compile(r"(.*_)?id", re.IGNORECASE)
WHOLE_NUMBERS = ("bigint", "integer")  # types of the contract
LIES_AHEAD = ("ended_on", "commitment_ends_on", "due_on")  # days that may be yet to come
# The whole file decides on the types of its columns, so that a late row does not contradict them.
CSV_OPTIONS = ("sample_size = -1", "allow_quoted_nulls = true")


@dataclass(frozen=True)
class RawColumn:
    """A column as the raw table names it, and its type in DuckDB; without a value, the type of a file says nothing."""

    name: str
    type: str
    has_values: bool = True

    @property
    def sql(self) -> str:
        """The name as SQL reads it."""
        is_plain = PLAIN_NAME.fullmatch(self.name) and self.name.lower() not in _words_of_sql()
        return self.name if is_plain else quoted(self.name)


@dataclass(frozen=True)
class RawTable:
    """A raw table: its name in sources.yml, its columns, and where it is.

    ``location`` is the external location of a file, with ``{folder}`` for its folder, and empty for a table of the
    warehouse. ``relation`` is what DuckDB reads now.
    """

    name: str
    columns: tuple[RawColumn, ...]
    location: str
    relation: str

    def column(self, name: str) -> RawColumn | None:
        """Return the column of this name, in any case."""
        return next((column for column in self.columns if column.name.lower() == name), None)


@cache
def _words_of_sql() -> frozenset[str]:
    """Return the words that name a column only in quotes, such as order, end and at."""
    with duckdb.connect() as connection:
        found = connection.execute(
            "select keyword_name from duckdb_keywords() where keyword_category in ('reserved', 'type_function')"
        ).fetchall()
    return frozenset(word for (word,) in found)


def quoted(name: str) -> str:
    """Return a name in double quotes, as SQL reads it.

    Examples
    --------
    >>> print(quoted('a "net" value'))
    "a ""net"" value"
    """
    return '"' + name.replace('"', '""') + '"'


def read_files(folder: Path) -> list[RawTable]:
    """Return the tables of the CSV and Parquet files in a folder, in order of their names.

    Raises
    ------
    BayesPilotError
        If the folder holds no such file, a file cannot be read, or two files would have the same table name.
    """
    if not folder.is_dir():
        raise BayesPilotError(
            "there is no such folder",
            where=str(folder),
            next_step="name the folder of your CSV or Parquet files",
        )
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise BayesPilotError(
            "the folder holds no .csv and no .parquet file",
            where=str(folder),
            next_step="name the folder of your files",
        )
    awkward = [
        file for file in (folder.resolve(), *(file.name for file in files)) if UNREADABLE.search(str(file))
    ]
    if awkward:
        raise BayesPilotError(
            "the names of folders and files must be free of braces, quotes, $ and backslashes",
            where=str(folder),
            values=awkward,
            next_step="rename them",
        )
    names = [table_name(file.stem) for file in files]
    twice = [file.name for file, name in zip(files, names, strict=True) if names.count(name) > 1]
    if twice:
        raise BayesPilotError(
            "several files would be the same table",
            where=str(folder),
            values=twice,
            next_step="rename or remove one",
        )
    with duckdb.connect() as connection:
        return [_read_file(connection, file, name) for file, name in zip(files, names, strict=True)]


def table_name(stem: str) -> str:
    """Return the name of a table for a file: lower case, letters, digits and underscores.

    Examples
    --------
    >>> table_name("Orders 2026-10")
    'orders_2026_10'
    """
    name = re.sub(r"\W+", "_", stem.lower(), flags=re.ASCII).strip("_")
    return f"table_{name}" if not name or name[0].isdigit() else name


def _read_file(connection: duckdb.DuckDBPyConnection, file: Path, name: str) -> RawTable:
    path = str(file.resolve())
    try:
        if file.suffix.lower() == ".parquet":
            relation, location = f"'{path}'", f"'{{folder}}/{file.name}'"
        else:
            options = ", ".join((*CSV_OPTIONS, *_text_columns(connection, path)))
            relation, location = (
                f"read_csv('{place}', {options})" for place in (path, f"{{folder}}/{file.name}")
            )
        return RawTable(name, _with_values(connection, relation), location, relation)
    except duckdb.Error as error:
        raise BayesPilotError(
            "DuckDB cannot read the file",
            where=path,
            values=[_cause(error)],
            next_step="correct the file (a CSV in UTF-8), or move it out of the folder",
        ) from error


def _cause(error: duckdb.Error) -> str:
    """Return what DuckDB says is wrong, without the line of data that it quotes."""
    lines = str(error).split("\n\n")[0].splitlines()
    return ". ".join(line for line in lines if not line.startswith("Original Line"))


def _columns(connection: duckdb.DuckDBPyConnection, relation: str) -> tuple[RawColumn, ...]:
    found = connection.execute(f"describe select * from {relation}").fetchall()
    return tuple(RawColumn(name, kind) for name, kind, *_ in found)


def _with_values(connection: duckdb.DuckDBPyConnection, relation: str) -> tuple[RawColumn, ...]:
    """Return the columns of a file; those that hold nothing yet are marked."""
    columns = _columns(connection, relation)
    counts = ", ".join(f"count({column.sql})" for column in columns)
    [found] = connection.execute(f"select {counts} from {relation}").fetchall()
    return tuple(replace(column, has_values=count > 0) for column, count in zip(columns, found, strict=True))


def _text_columns(connection: duckdb.DuckDBPyConnection, path: str) -> list[str]:
    """Return the option that reads ids as text, whatever they are today: numbers would lose digits."""
    columns = _columns(connection, f"read_csv('{path}', {', '.join(CSV_OPTIONS)})")
    ids = [column.sql for column in columns if ID_NAME.fullmatch(column.name)]
    types = ", ".join(f"{name} := 'VARCHAR'" for name in ids)
    return [f"types = struct_pack({types})"] if ids else []


def read_tables(warehouse: Path, database: str, schema: str) -> list[RawTable]:
    """Return the tables and views of a schema of the warehouse file.

    Raises
    ------
    BayesPilotError
        If the file, or the schema in it, does not exist or is empty.
    """
    if not warehouse.is_file() or warehouse.stem != database:
        raise BayesPilotError(
            f"the tables must stand in the warehouse file {database}.duckdb",
            where=str(warehouse),
            next_step="set RETENTION_DB to the DuckDB file that holds them",
        )
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        found = connection.execute(
            "select distinct table_name from duckdb_columns() where database_name = ? and schema_name = ? order by 1",
            [database, schema],
        ).fetchall()
        if not found:
            raise BayesPilotError(f"the schema {schema} holds no table", where=str(warehouse))
        relations = {name: f"{quoted(database)}.{quoted(schema)}.{quoted(name)}" for (name,) in found}
        return [
            RawTable(name, _columns(connection, relation), "", relation)
            for name, relation in relations.items()
        ]


def newest_day(warehouse: Path | None, tables: Sequence[RawTable]) -> str:
    """Return the newest day, up to today, of columns that say what has happened: 'YYYY-MM-DD', or '' without one."""
    selects = [
        f"select max(cast({column.sql} as date)) as day from {table.relation} where {column.sql} <= current_date"
        for table in tables
        for column in table.columns
        if column.type.startswith(("DATE", "TIMESTAMP")) and column.name.lower() not in LIES_AHEAD
    ]
    if not selects:
        return ""
    with _connect(warehouse) as connection:
        [(day,)] = connection.execute(f"select max(day) from ({' union all '.join(selects)})").fetchall()
    return "" if day is None else str(day)


def distinct_texts(warehouse: Path | None, table: RawTable, column: RawColumn, at_most: int) -> list[str]:
    """Return the values of a column in order of their names; none where there are more than ``at_most``."""
    with _connect(warehouse) as connection:
        found = connection.execute(
            f"select distinct cast({column.sql} as varchar) as value from {table.relation}"
            f" where {column.sql} is not null order by 1 limit {at_most + 1}"
        ).fetchall()
    return [value for (value,) in found] if len(found) <= at_most else []


def _connect(warehouse: Path | None) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(warehouse), read_only=True) if warehouse else duckdb.connect()
