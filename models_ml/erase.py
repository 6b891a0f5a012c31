"""Erase customers: from the warehouse, the published copies, the log of the service, generated files and reports.

A DuckDB file keeps the bytes of deleted rows. Files are therefore never changed in place: what remains is copied into a
new file, which replaces the old one as a whole. A salted hash of each id stays behind (`erased_customers`), so that
rows which the raw data still holds do not enter again; and a hash of each erased decision (`erased_actions`, and as a
tombstone in `retention_actions_sync`), for systems that hold its action_id.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from models_ml.errors import BayesPilotError
from models_ml.files import file_aside
from models_ml.paths import (
    artifacts_folder,
    decision_log_folder,
    project_root,
    published_folder,
    reports_folder,
    warehouse_path,
)
from models_ml.publish import one_publisher
from models_ml.serving.decision_log import JOURNAL, log_held
from models_ml.serving.snapshot import CUSTOMERS, remove_customers
from models_ml.warehouse import hold_warehouse, quoted, sql_text, table_names

BLOCKED, TOMBSTONES = "erased_customers", "erased_actions"
SYNC = "retention_actions_sync"
HISTORY = "retention_actions_history"
STAGING = "stg_"
FINGERPRINTS = "int_stored_fingerprints"
# An id of fewer characters occurs in any text by chance, as a count or a part of a date.
TELLING_LENGTH = 6
NEW = "rewritten_by_bayespilot"  # the new file is attached beside the old one, whose name must differ
GENERATED = ("logs", "target")


@dataclass
class Erased:
    """What an erasure removed, and where the id still stands.

    Attributes
    ----------
    rows : dict
        Removed rows by table of the warehouse, and by published file.
    files : list of Path
        Removed log files, generated files and pages.
    raw_rows : dict
        Rows by staging model that the raw data still holds: they do not enter again.
    unread : list of str
        Staging models whose raw data could not be read.
    remaining : list of str
        Places that BayesPilot does not rewrite and that hold an id.
    unsure : list of str
        Files that stay because the id in them is too short to tell from other numbers.
    """

    rows: dict[str, int] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    raw_rows: dict[str, int] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Person:
    """Ids that an erasure removes.

    Attributes
    ----------
    customers : tuple of str
        Values of customer_id.
    decided : frozenset of str
        Ids of the decisions that the history holds.
    actions : frozenset of str
        Ids that decisions on these customers have at any date of the history; holds `decided`.
    """

    customers: tuple[str, ...]
    decided: frozenset[str]
    actions: frozenset[str]

    @property
    def short(self) -> frozenset[str]:
        """Customers whose ids are so short that they stand in any text by chance."""
        return frozenset(customer for customer in self.customers if len(customer) < TELLING_LENGTH)

    @property
    def telling(self) -> frozenset[str]:
        """All other ids: where one of them stands, the person is meant."""
        return frozenset(self.customers) - self.short | self.actions


def word_pattern(words: Iterable[str]) -> re.Pattern[bytes]:
    """Return a pattern that finds any of the words standing by itself, and nothing where there are none.

    Examples
    --------
    >>> found = word_pattern(["100000406"])
    >>> bool(found.search(b'"100000406"')), bool(found.search(b"1000004061")), bool(word_pattern([]).search(b"a"))
    (True, False, False)
    """
    ordered = sorted(words, key=len, reverse=True)
    if not ordered:
        return re.compile(rb"(?!)")
    found = rb"|".join(re.escape(word.encode()) for word in ordered)
    return re.compile(rb"(?<![0-9A-Za-z])(?:" + found + rb")(?![0-9A-Za-z])")


def erase(source: str, customers: Sequence[str]) -> Erased:
    """Remove customers from everything that BayesPilot keeps of a source.

    Parameters
    ----------
    source : str
        Folder of dbt_project/sources.
    customers : sequence of str
        Values of customer_id, exactly as the warehouse holds them.

    Returns
    -------
    Erased
        What was removed. A second erasure of the same customers removes nothing, and completes an interrupted one.

    Raises
    ------
    BayesPilotError
        If no customer is named, the warehouse is missing or in use, a service writes its log, or a customer is unknown
        everywhere and was never erased.
    """
    ids = tuple(dict.fromkeys(customer for customer in customers if customer.strip()))
    if not ids:
        raise BayesPilotError(
            "no customer is named: every customer_id that was given is blank",
            next_step="bayespilot erase CUSTOMER_ID",
        )
    warehouse, published, log = warehouse_path(source), published_folder(source), decision_log_folder(source)
    erased = Erased()
    with one_publisher(published) if published.is_dir() else nullcontext(), log_held(log):
        copies = [*_data_files(published), *_data_files(log)]
        person = _erase_tables(source, warehouse, ids, copies, erased)
        rows = _rewrite_lines(log / JOURNAL, person)
        if rows:
            erased.rows[str(log / JOURNAL)] = rows
    _remove_generated(source, person, erased)
    _look_into_artifacts(source, person, erased)
    return erased


def _erase_tables(
    source: str, warehouse: Path, ids: tuple[str, ...], copies: Sequence[Path], erased: Erased
) -> Person:
    """Remove the customers from the warehouse and from copies of its rows; return whom that names."""
    with hold_warehouse(source, warehouse) as connection:
        person = find_person(connection, ids)
        erased.raw_rows, erased.unread, seen = _rows_of_raw_data(connection, ids)
        _refuse_unknown([one for one in ids if one not in seen], warehouse, connection, copies)
        held, own = _held(connection, person), _own_tables()
        erased.rows.update({table: rows for table, rows in held.items() if table in own})
        erased.remaining.extend(
            f"table {table}, which is not BayesPilot's" for table in held if table not in own
        )
        with _new_database(connection, warehouse, person, own):
            _record(connection, person)
    for copy in copies:
        rows = rewrite_copy(copy, person)
        if rows:
            erased.rows[str(copy)] = rows
    return person


def lines_of(erased: Erased) -> list[str]:
    """Return what an erasure did, one line each, without an id."""
    removed = [f"removed {rows:,} row(s) of {table}" for table, rows in sorted(erased.rows.items())]
    removed += [f"removed the file {path}" for path in erased.files]
    raw = [
        f"the raw data still holds {rows:,} row(s) of {model}: the next builds leave them out"
        for model, rows in sorted(erased.raw_rows.items())
    ]
    if erased.unread:
        raw.append(
            f"the raw data of {', '.join(erased.unread)} cannot be read from here; it is blocked as well"
        )
    remaining = [f"still holds the id: {place}" for place in erased.remaining]
    unsure = [f"may hold the id: {place}" for place in erased.unsure]
    return [*(removed or ["nothing was left to remove"]), *raw, *remaining, *unsure]


def rewrite_copy(path: Path, person: Person) -> int:
    """Rewrite a published file without the rows of a person; return how many rows were removed."""
    if path.name == CUSTOMERS:
        return remove_customers(path, person.customers)
    if path.suffix == ".parquet":
        return _rewrite_parquet(path, person)
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = _held(connection, person)
        if rows:
            with _new_database(connection, path, person, None):
                pass
    return sum(rows.values())


def _refuse_unknown(
    ids: Sequence[str], warehouse: Path, connection: duckdb.DuckDBPyConnection, copies: Sequence[Path]
) -> None:
    """Raise where nothing is held of one of these customers, whatever is held of the others."""
    unknown = []
    for one in ids:
        person = find_person(connection, [one])
        if not (
            _held(connection, person) or _are_blocked(connection, person) or _is_in_a_copy(copies, person)
        ):
            unknown.append(one)
    if unknown:
        raise BayesPilotError(
            "nothing is held of this customer, in the warehouse, the published copies and the raw data that can be"
            " read; nobody was erased",
            where=str(warehouse),
            values=unknown,
            next_step="compare the spelling with: select distinct customer_id from stg_customers",
        )


def _is_in_a_copy(copies: Sequence[Path], person: Person) -> bool:
    for path in copies:
        if path.name == CUSTOMERS:  # the same customers as in retention_actions beside it
            continue
        with (
            duckdb.connect()
            if path.suffix == ".parquet"
            else duckdb.connect(str(path), read_only=True) as copy
        ):
            if path.suffix == ".parquet":
                copy.execute(f"create table parquet_rows as from {quoted(path)}")
            if _held(copy, person):
                return True
    return False


@contextmanager
def _new_database(
    connection: duckdb.DuckDBPyConnection, path: Path, person: Person, own: frozenset[str] | None
) -> Iterator[None]:
    """Copy a database without the rows of a person; the copy, attached in the block, then takes its place.

    ``own`` names the tables that lose rows (None: all). The old file stays locked until the new one stands.
    """
    conditions = _conditions(connection, person)
    old, version = connection.execute(
        "select database_name, trim(tags['storage_version'], '+') from duckdb_databases()"
        " where database_name = current_database()"
    ).fetchall()[0]
    with file_aside(path) as aside:
        connection.execute(f"attach {quoted(aside)} as {NEW} (read_write, storage_version '{version}')")
        try:
            connection.execute(f'copy from database "{old}" to {NEW} (schema)')
            for schema, table in _tables(connection):
                loses_rows = own is None or table in own
                keep = f"where not ({conditions[table]})" if loses_rows and table in conditions else ""
                place = f'"{schema}"."{table}"'
                connection.execute(f'insert into {NEW}.{place} select * from "{old}".{place} {keep}')
            yield
        finally:
            connection.execute(f"detach {NEW}")


def _held(connection: duckdb.DuckDBPyConnection, person: Person) -> dict[str, int]:
    """Return the number of the person's rows in each table that holds any."""
    counted = {
        table: _count(connection, table, where) for table, where in _conditions(connection, person).items()
    }
    return {table: rows for table, rows in counted.items() if rows}


def _record(connection: duckdb.DuckDBPyConnection, person: Person) -> None:
    """Write the hashes of ids and decisions, each once, and have the next build take the fingerprints anew."""
    now = datetime.now(UTC).replace(tzinfo=None)
    create = "create table if not exists"
    connection.execute(
        f"{create} {NEW}.main.{BLOCKED} (customer_hash varchar not null, salt varchar not null, erased_at timestamp)"
    )
    connection.execute(
        f"{create} {NEW}.main.{TOMBSTONES} (action_id_hash varchar not null, as_of_date date, row_hash varchar,"
        " erased_at timestamp)"
    )
    for column, kind in (("as_of_date", "date"), ("row_hash", "varchar")):  # an older table lacks them
        connection.execute(f"alter table {NEW}.main.{TOMBSTONES} add column if not exists {column} {kind}")
    found = connection.execute(f"select max(salt) from {NEW}.main.{BLOCKED}").fetchall()[0][0]
    salt = found or secrets.token_hex(16)
    known = {
        one for (one,) in connection.execute(f"select customer_hash from {NEW}.main.{BLOCKED}").fetchall()
    }
    for customer in person.customers:
        if (hashed := salted_hash(salt, customer)) not in known:
            connection.execute(
                f"insert into {NEW}.main.{BLOCKED} (customer_hash, salt, erased_at) values (?, ?, ?)",
                [hashed, salt, now],
            )
    if person.decided:
        connection.execute(
            f"""
            insert into {NEW}.main.{TOMBSTONES} (action_id_hash, as_of_date, row_hash, erased_at)
            select sha256(action_id), as_of_date, row_hash, ?
            from {HISTORY}
            where customer_id in (select unnest(?::varchar[]))
                and sha256(action_id) not in (select action_id_hash from {NEW}.main.{TOMBSTONES})
            order by 1
            """,
            [now, list(person.customers)],
        )
    tables = {table for _, table in _tables(connection)}
    if FINGERPRINTS in tables:
        connection.execute(f"delete from {NEW}.main.{FINGERPRINTS}")
    if SYNC in tables:
        _leave_tombstones(connection, person, now)


def _leave_tombstones(connection: duckdb.DuckDBPyConnection, person: Person, now: datetime) -> None:
    """Keep the key of each erased row of the sync, so that a reader with a cursor hears that it is gone."""
    connection.execute(
        f"""
        insert into {NEW}.main.{SYNC} by name
        select
            action_id_hash,
            'erased' as status,
            (select max(as_of_date) from {HISTORY}) as status_as_of_date,
            (select greatest(?::timestamp, max(updated_at) + interval 1 microsecond) from {SYNC}) as updated_at,
            md5(action_id_hash || '|erased') as row_hash
        from {SYNC}
        where customer_id in (select unnest(?::varchar[]))
        """,
        [now, list(person.customers)],
    )


def salted_hash(salt: str, customer: str) -> str:
    """Return what `erased_customers` keeps of an id: the same as the macro ``salted_hash``.

    Examples
    --------
    >>> salted_hash("salt", "7")[:12]
    '18f536d95248'
    """
    return hashlib.sha256(f"{salt}/{customer}".encode()).hexdigest()


def _are_blocked(connection: duckdb.DuckDBPyConnection, person: Person) -> bool:
    if not any(table == BLOCKED for _, table in _tables(connection)):
        return False
    rows = connection.execute(f"select customer_hash, salt from {BLOCKED}").fetchall()
    hashes = {found for found, _ in rows}
    return bool(rows) and all(salted_hash(rows[0][1], one) in hashes for one in person.customers)


def _tables(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    return connection.execute(
        "select schema_name, table_name from duckdb_tables()"
        " where database_name = current_database() and not temporary order by 1, 2"
    ).fetchall()


def _conditions(connection: duckdb.DuckDBPyConnection, person: Person) -> dict[str, str]:
    """Return, per table with ids, the condition that a row is the person's: any text column is one of the ids."""
    columns: dict[str, list[str]] = {}
    for table, column in connection.execute(
        "select table_name, column_name from duckdb_columns()"
        " where database_name = current_database() and data_type = 'VARCHAR' order by 1, 2"
    ).fetchall():
        columns.setdefault(table, []).append(column)
    present = {table for _, table in _tables(connection)} - {BLOCKED, TOMBSTONES}
    _list_words(connection, person)
    return {table: _is_theirs(names) for table, names in columns.items() if table in present}


def _list_words(connection: duckdb.DuckDBPyConnection, person: Person) -> None:
    """Put the ids into temporary tables, which belong to the connection and to no file."""
    for name, words in (("words", [*person.telling, *person.short]), ("telling_words", [*person.telling])):
        connection.execute(
            f"create or replace temp table {name} as select unnest(?::varchar[]) as word", [words]
        )


def _is_theirs(columns: Sequence[str]) -> str:
    """Return the SQL condition that a row names the person.

    Ids of customers count in columns named for them, and in others where the id is no short number that may mean
    something else; ids of decisions are hashes and count everywhere.
    """
    return " or ".join(
        f'coalesce("{column}" in (select word from'
        f" temp.{'words' if 'customer_id' in column else 'telling_words'}), false)"
        for column in columns
    )


def _count(connection: duckdb.DuckDBPyConnection, table: str, where: str) -> int:
    return int(connection.execute(f'select count(*) from "{table}" where {where}').fetchall()[0][0])


def find_person(connection: duckdb.DuckDBPyConnection, customers: Sequence[str]) -> Person:
    """Return the customers with the ids of all decisions on them: an id is the MD5 of customer and date."""
    ids = tuple(customers)
    if HISTORY not in table_names(connection):
        return Person(ids, frozenset(), frozenset())
    stored = connection.execute(
        f"select action_id from {HISTORY} where customer_id in (select unnest(?::varchar[]))", [list(ids)]
    ).fetchall()
    days = connection.execute(f"select distinct as_of_date from {HISTORY}").fetchall()
    decided = frozenset(action for (action,) in stored)
    possible = {
        hashlib.md5(f"{customer}/{day}".encode(), usedforsecurity=False).hexdigest()
        for customer in ids
        for (day,) in days
    }
    return Person(ids, decided, decided | possible)


def _rows_of_raw_data(
    connection: duckdb.DuckDBPyConnection, customers: Sequence[str]
) -> tuple[dict[str, int], list[str], set[str]]:
    """Count the person's rows in the staging views, which read the raw data; list unreadable views, and ids found."""
    views = connection.execute(
        "select view_name from duckdb_views() where database_name = current_database() and view_name like ? order by 1",
        [f"{STAGING}%"],
    ).fetchall()
    found: dict[str, int] = {}
    unread: list[str] = []
    seen: set[str] = set()
    for (view,) in views:
        try:
            rows = connection.execute(
                f'select customer_id, count(*) from "{view}" where customer_id in (select unnest(?::varchar[]))'
                " group by customer_id",
                [list(customers)],
            ).fetchall()
        except duckdb.Error:  # the raw files are elsewhere; what is blocked is blocked all the same
            unread.append(view)
            continue
        if rows:
            found[view] = sum(count for _, count in rows)
            seen.update(customer for customer, _ in rows)
    return found, unread, seen


def _own_tables() -> frozenset[str]:
    """Return the names of all models and seeds: other tables of the warehouse are somebody else's."""
    root = project_root()
    files = [*(root / "dbt_project").rglob("*.sql"), *(root / "dbt_project").rglob("*.py")]
    return frozenset(file.stem for file in files)


def _data_files(folder: Path) -> Iterator[Path]:
    """Yield the data files below a folder, those behind links once."""
    seen = set()
    for path in sorted(folder.rglob("*")):
        real = path.resolve()
        if real.is_file() and real.suffix in (".duckdb", ".parquet", ".sqlite") and real not in seen:
            seen.add(real)
            yield real


def _rewrite_parquet(path: Path, person: Person) -> int:
    with duckdb.connect() as connection:
        _list_words(connection, person)
        columns = connection.execute(f"describe select * from {quoted(path)}").fetchall()
        theirs = _is_theirs([row[0] for row in columns if row[1] == "VARCHAR"])
        rows = int(connection.execute(f"select count(*) from {quoted(path)} where {theirs}").fetchall()[0][0])
        if rows:
            with file_aside(path) as aside:
                connection.execute(
                    f"copy (select * from {quoted(path)} where not ({theirs})) to {quoted(aside)}"
                    f" (format parquet, compression zstd, kv_metadata {_metadata(connection, path)})"
                )
    return rows


def _metadata(connection: duckdb.DuckDBPyConnection, path: Path) -> str:
    """Return the key-value metadata of a Parquet file, such as the run that it belongs to, as a SQL struct."""
    found = connection.execute(
        f"select decode(key), decode(value) from parquet_kv_metadata({quoted(path)})"
        " where decode(key) <> 'ARROW:schema'"
    ).fetchall()
    return "{" + ", ".join(f"{sql_text(key)}: {sql_text(value)}" for key, value in found) + "}"


def _rewrite_lines(path: Path, person: Person) -> int:
    """Rewrite a journal without the rows of a person; return how many were removed.

    A line that is no row was cut when a service was killed. No reader takes it, and it may hold a part of an id: it
    goes as well, uncounted.
    """
    if not path.is_file():
        return 0
    lines = path.read_bytes().splitlines(keepends=True)
    read = [(line, _ids_of_line(line)) for line in lines]
    theirs = {*person.customers, *person.actions}
    kept = [line for line, ids in read if ids is not None and not ids & theirs]
    if len(kept) < len(lines):
        with file_aside(path) as aside:
            aside.write_bytes(b"".join(kept))
    return sum(ids is not None for _, ids in read) - len(kept)


def _ids_of_line(line: bytes) -> set[str] | None:
    """Return the ids that a row of the journal is of; None where the line is no row."""
    try:
        row = json.loads(line)
        return {row["customer_id"], row["action_id"]}
    except (ValueError, KeyError, TypeError):
        return None


def _remove_generated(source: str, person: Person, erased: Erased) -> None:
    """Delete logs, generated files and pages that name the person; the pages of the last run are written again.

    A short id stands in any log by chance: these files stay, and are counted for a person to judge. It may stand in the
    pages of the last run only, among those that show customers.
    """
    from models_ml.run import write_reports

    telling, short = word_pattern(person.telling), word_pattern(person.short)
    for folder in (project_root() / name for name in GENERATED):
        for path in _files_with(folder, telling):
            path.unlink()
            erased.files.append(path)
        doubtful = _files_with(folder, short)
        if doubtful:
            erased.unsure.append(
                f"{len(doubtful):,} file(s) in {folder} (so short an id cannot be told from other numbers:"
                " delete the folder if its files name customers)"
            )
    pages = reports_folder(source)
    last_run = [page for page in (pages / "policy.html", pages / "monitoring.html") if page.is_file()]
    found = {*_files_with(pages, telling), *(page for page in _files_with(pages, short) if page in last_run)}
    named = sorted(found)
    for page in named:
        page.unlink()
        erased.files.append(page)
    if any(page in last_run for page in named):
        write_reports(source, lambda _: None)


def _look_into_artifacts(source: str, person: Person, erased: Erased) -> None:
    """Note artifacts that hold an id: pipelines hold none, and what does was put there by somebody."""
    found = _files_with(artifacts_folder(source), word_pattern(person.telling))
    erased.remaining.extend(f"{path} (train again, then delete it)" for path in found)


def _files_with(folder: Path, pattern: re.Pattern[bytes]) -> list[Path]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return [path for path in files if pattern.search(path.read_bytes())]
