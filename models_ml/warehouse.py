"""Opens the warehouse for every command, so that the same fault gives the same message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from models_ml.errors import BayesPilotError
from models_ml.paths import warehouse_path

IN_USE = "the warehouse is in use"


def build_command(source: str, options: str = "") -> str:
    """Return the command line that builds a source, as pages and errors name it.

    Examples
    --------
    >>> build_command("acme", "--selector decide")
    'bayespilot run --source acme --selector decide'
    """
    return f"bayespilot run --source {source} {options}".rstrip()


@contextmanager
def open_warehouse(source: str, path: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a read-only connection to the warehouse of a source.

    Parameters
    ----------
    source : str
        Name of the source, for the path and for the next command in errors.
    path : Path, optional
        The DuckDB file, where it is not that of `models_ml.paths.warehouse_path`.

    Raises
    ------
    BayesPilotError
        If the file is missing, cannot be opened or is held by another process; and if a statement in the block
        asks for a table or column that the warehouse does not have.
    """
    path = path or warehouse_path(source)
    if not path.is_file():
        raise BayesPilotError("there is no warehouse yet", where=str(path), next_step=build_command(source))
    try:
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise _closed(path, error) from error
    with connection:
        connection.execute("set python_enable_replacements = false")  # a Python variable is never a table
        try:
            yield connection
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            raise BayesPilotError(
                "the warehouse lacks a table or column that is read here",
                where=str(path),
                values=[_first_line(error)],
                next_step=build_command(source),
            ) from error


@contextmanager
def hold_warehouse(source: str, path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection that keeps every other process out, with all changes in the file itself.

    For what replaces the file: nothing of the old one is written after the block has begun.

    Raises
    ------
    BayesPilotError
        If the file is missing, cannot be opened or is held by another process.
    """
    if not path.is_file():
        raise BayesPilotError("there is no warehouse yet", where=str(path), next_step=build_command(source))
    try:
        connection = duckdb.connect(str(path))
    except duckdb.Error as error:
        raise _closed(path, error) from error
    with connection:
        connection.execute("set python_enable_replacements = false")
        connection.execute("checkpoint")
        yield connection


def no_decisions(source: str, table: str) -> BayesPilotError:
    """Return the error of a warehouse whose tables stand but hold no decisions."""
    return BayesPilotError(
        "the warehouse holds no decisions",
        where=table,
        next_step=f"{build_command(source)} (a build with --empty decides nothing)",
    )


def table_names(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the names of the tables and views of the open warehouse."""
    found = connection.execute(
        "select table_name from information_schema.tables where table_catalog = current_database()"
    ).fetchall()
    return {name for (name,) in found}


def quoted(path: Path) -> str:
    """Return a path as SQL text.

    Examples
    --------
    >>> quoted(Path("it's here/rows.parquet"))
    "'it''s here/rows.parquet'"
    """
    return sql_text(str(path))


def sql_text(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def is_in_use(error: BaseException) -> bool:
    """Tell whether an error of opening the warehouse says that another process holds it."""
    return str(error).startswith(IN_USE)


def _closed(path: Path, error: duckdb.Error) -> BayesPilotError:
    is_locked = "Could not set lock" in str(error) or isinstance(error, duckdb.ConnectionException)
    return BayesPilotError(
        IN_USE if is_locked else "the warehouse file cannot be opened",
        where=str(path),
        values=[_first_line(error)],
        next_step=(
            "wait until what holds it has ended (readers open the published copy instead), then run this again"
            if is_locked
            else f"install the DuckDB version that wrote the file (this is {duckdb.__version__}), or restore the file"
            " from a backup: it holds the history of decisions; without one, move it away and build anew"
        ),
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
