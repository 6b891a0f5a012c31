"""Raw tables of a new source: the columns of its files (CSV, Parquet) or of the tables in its warehouse."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import duckdb

from models_ml.errors import BayesPilotError
from models_ml.warehouse import open_warehouse

SUFFIXES = (".csv", ".parquet")
UNREADABLE = re.compile(r"[{}'\"\\$]")  # would end the quoted path or its template in sources.yml
PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*", re.IGNORECASE)
ID_NAME = re.compile(r"(.*_)?id", re.IGNORECASE)
WHOLE_NUMBERS = ("bigint", "integer")  # types of the contract
SHOWN_CHARACTERS = 30
SLOW_BYTES = 50 * 10**6  # of a CSV file: some 1.5 million events
LIES_AHEAD = ("ended_on", "commitment_ends_on", "due_on")  # days that may be yet to come
DAY_ORDERS = ("dmy", "mdy", "ymd", "dmY", "mdY")  # of day, month and year; Y has four digits
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
    warehouse. ``relation`` is what DuckDB reads now. ``doubt`` says how its days can be read otherwise.
    """

    name: str
    columns: tuple[RawColumn, ...]
    location: str
    relation: str
    doubt: str = ""

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


def unread(folder: Path) -> list[str]:
    """Return what else the folder holds, which is no table: folders, compressed files, spreadsheets and the like."""
    return sorted(
        file.name
        for file in folder.iterdir()
        if not file.name.startswith(".") and not (file.suffix.lower() in SUFFIXES and file.is_file())
    )


def slow_files(folder: Path) -> list[str]:
    """Return the CSV files that are too large to be read as a whole by each step of a build."""
    return sorted(
        f"{file.name} ({file.stat().st_size // 10**6:,} MB)"
        for file in folder.iterdir()
        if file.suffix.lower() == ".csv" and file.is_file() and file.stat().st_size > SLOW_BYTES
    )


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
    path, doubt = str(file.resolve()), ""
    try:
        if file.suffix.lower() == ".parquet":
            relation, location = f"'{path}'", f"'{{folder}}/{file.name}'"
        else:
            found, doubt = _sniffed(connection, path)
            options = ", ".join((*CSV_OPTIONS, *found))
            relation, location = (
                f"read_csv('{place}', {options})" for place in (path, f"{{folder}}/{file.name}")
            )
        return RawTable(name, _with_values(connection, relation), location, relation, doubt)
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


def _sniffed(connection: duckdb.DuckDBPyConnection, path: str) -> tuple[list[str], str]:
    """Return the options that keep how the file is read, whatever it holds later, and the doubt about its days.

    Ids are text, whatever they are today: numbers would lose digits. Days keep the order that they have today.
    """
    [(columns, *formats)] = connection.execute(
        f"select Columns, DateFormat, TimestampFormat from sniff_csv('{path}', {', '.join(CSV_OPTIONS)})"
    ).fetchall()
    found = [RawColumn(column["name"], column["type"]) for column in columns]
    ids = ", ".join(f"{column.sql} := 'VARCHAR'" for column in found if ID_NAME.fullmatch(column.name))
    options, doubts = [f"types = struct_pack({ids})"] if ids else [], []
    for key, kind, chosen in zip(
        ("dateformat", "timestampformat"), ("DATE", "TIMESTAMP"), formats, strict=True
    ):
        if chosen and not chosen.startswith("%Y"):  # a year of four digits in front leaves one order
            options.append(f"{key} = '{chosen}'")
            names = [column.sql for column in found if column.type == kind]
            doubts += _other_orders(connection, path, names, chosen) if names else []
    return options, "; ".join(doubts)


def _other_orders(
    connection: duckdb.DuckDBPyConnection, path: str, names: Sequence[str], chosen: str
) -> list[str]:
    """Return in words the other orders of day, month and year that fit all values of these columns."""
    others = sorted({_in_order(chosen, order) for order in DAY_ORDERS} - {chosen})
    fits = [
        # a year of two digits is none of four
        " and ".join(
            f"count({name}) = count_if(year(try_strptime({name}, '{other}')) > 999)" for name in names
        )
        for other in others
    ]
    [(example, *are_possible)] = connection.execute(
        f"select min({names[0]}), {', '.join(fits)}"
        f" from read_csv('{path}', {', '.join(CSV_OPTIONS)}, all_varchar = true)"
    ).fetchall()
    possible = [other for other, is_possible in zip(others, are_possible, strict=True) if is_possible]
    if not possible:
        return []
    return [f"days such as {example} are read as {chosen}; all values fit {' and '.join(possible)} too"]


def _in_order(day: str, order: str) -> str:
    """Return the format of a day with its parts in another order, such as mdY."""
    parts = iter(order)
    return re.sub("%[dmyY]", lambda _: f"%{next(parts)}", day)


def read_tables(warehouse: Path, database: str, schema: str) -> list[RawTable]:
    """Return the tables and views of a schema of the warehouse file.

    Raises
    ------
    BayesPilotError
        If the file cannot be opened, or the schema in it does not exist or is empty.
    """
    if not warehouse.is_file() or warehouse.stem != database:
        raise BayesPilotError(
            f"the tables must stand in the warehouse file {database}.duckdb",
            where=str(warehouse),
            next_step="set RETENTION_DB to the DuckDB file that holds them",
        )
    with open_warehouse(database, warehouse) as connection:
        found = connection.execute(
            "select distinct table_name from duckdb_columns() where database_name = ? and schema_name = ? order by 1",
            [database, schema],
        ).fetchall()
        if not found:
            schemas = connection.execute(
                "select distinct schema_name from duckdb_columns() where not internal order by 1"
            ).fetchall()
            raise BayesPilotError(
                f"the schema {schema} holds no table",
                where=str(warehouse),
                next_step=f"name one that does: {', '.join(name for (name,) in schemas) or 'there is none'}",
            )
        relations = {name: f"{quoted(database)}.{quoted(schema)}.{quoted(name)}" for (name,) in found}
        return [
            RawTable(name, _columns(connection, relation), "", relation)
            for name, relation in relations.items()
        ]


def newest_day(warehouse: Path | None, tables: Sequence[RawTable]) -> tuple[str, str]:
    """Return the newest day, up to today, of columns that say what has happened, and the column that holds it.

    The day is 'YYYY-MM-DD'; both are '' where no column holds one.
    """
    columns = [
        (table, column)
        for table in tables
        for column in table.columns
        if column.type.startswith(("DATE", "TIMESTAMP")) and column.name.lower() not in LIES_AHEAD
    ]
    if not columns:
        return "", ""
    selects = [
        f"select max(cast({column.sql} as date)) as day, {position} as position from {table.relation}"
        f" where {column.sql} <= current_date"
        for position, (table, column) in enumerate(columns)
    ]
    with _connect(warehouse) as connection:
        [(day, position)] = connection.execute(
            f"select max(day), arg_max(position, day) from ({' union all '.join(selects)})"
        ).fetchall()
    if day is None:
        return "", ""
    table, column = columns[position]
    return str(day), f"{table.name}.{column.name}"


def distinct_texts(warehouse: Path | None, table: RawTable, column: RawColumn, at_most: int) -> list[str]:
    """Return the values of a column in order, without blanks at their ends; none if more than ``at_most``."""
    with _connect(warehouse) as connection:
        found = connection.execute(
            f"select distinct trim(cast({column.sql} as varchar)) as value from {table.relation}"
            f" where value <> '' order by 1 limit {at_most + 1}"
        ).fetchall()
    return [value for (value,) in found] if len(found) <= at_most else []


def copied_rows(warehouse: Path | None, table: RawTable) -> int:
    """Return how many rows equal another one in every column."""
    with _connect(warehouse) as connection:
        [(copies,)] = connection.execute(
            f"select count(*) - count(distinct hash(raw)) from {table.relation} as raw"
        ).fetchall()
    return int(copies)


def unreadable_values(
    warehouse: Path | None, table: RawTable, wanted: Sequence[tuple[RawColumn, str]]
) -> dict[str, str]:
    """Return in words, by column, which values are none of the type that the contract asks for.

    A cast would round a fraction to a whole number and less than half a cent to nothing, or would stop the build.
    """
    checked = [(column, kind, fault) for column, kind in wanted if (fault := _fault(column, kind))]
    if not checked:
        return {}
    found = ", ".join(
        f"count_if({fault}), min({text}) filter ({fault}), max({text}) filter ({fault})"
        for column, _, fault in checked
        for text in [f"left(cast({column.sql} as varchar), {SHOWN_CHARACTERS})"]
    )
    with _connect(warehouse) as connection:
        [values] = connection.execute(f"select {found} from {table.relation}").fetchall()
    words = {}
    for position, (column, kind, _) in enumerate(checked):
        count, first, last = values[3 * position : 3 * position + 3]
        if count:
            what = "whole number" if kind in WHOLE_NUMBERS else kind
            examples = " or ".join(dict.fromkeys((repr(first), repr(last))))
            words[column.name] = (
                f"{count:,} value{' is' if count == 1 else 's are'} no {what}, such as {examples}"
            )
    return words


def _fault(column: RawColumn, kind: str) -> str:
    """Return the condition, in SQL, on which a value is none of this type; empty where the types rule it out."""
    found, is_text = column.type.upper(), column.type.upper() == "VARCHAR"
    text = f"cast({column.sql} as varchar)"
    if kind in ("date", "timestamp") and not found.startswith(("DATE", "TIMESTAMP")):
        return f"{column.sql} is not null and try_cast({text} as {kind}) is null"
    if kind in WHOLE_NUMBERS and not found.endswith(("INT", "INTEGER")):
        number = f"try_cast({text} as double)"
        return f"{column.sql} is not null and ({number} is null or {number} <> round({number}))"
    if kind.startswith("decimal") and not found.endswith(("INT", "INTEGER")):
        number, unreadable = f"try_cast({text} as double)", f"try_cast({text} as {kind}) is null"
        vanishes = f"{number} <> 0 and abs({number}) < 0.005"  # rounds to 0, however many there are
        return f"{column.sql} is not null and ({f'{unreadable} or ' if is_text else ''}({vanishes}))"
    if is_text and kind not in ("string", "date", "timestamp"):
        return f"{column.sql} is not null and try_cast({text} as {kind}) is null"
    return ""


def _connect(warehouse: Path | None) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(warehouse), read_only=True) if warehouse else duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")  # as the build has it, wherever this machine stands
    return connection
