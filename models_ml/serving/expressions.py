"""The published SQL expressions, evaluated for the customers that a request names.

The rows of a request come as one parameter in JSON and constants of the run stand in the statement, so that it reads
no table. DuckDB then keeps its plan: it is planned once per run and evaluated in less than a millisecond.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import duckdb

from models_ml.errors import BayesPilotError
from models_ml.warehouse import sql_text

Rows = Sequence[Mapping[str, Any]]
Columns = Mapping[str, str]  # SQL type by name


class RowExpressions:
    """Expressions over the columns of one row, prepared once and evaluated for any number of rows.

    Parameters
    ----------
    connection : DuckDBPyConnection
        In memory, without access to files; one thread at a time may use it.
    name : str
        Of the statement, one per connection.
    columns : mapping of name to SQL type
        Columns of the rows that are given with each call; those that no expression names are not read.
    constants : mapping of name to value
        Columns that are the same in every row.
    steps : sequence of mapping of name to (SQL type, expression)
        Expressions over these columns and over those of the steps before; an expression takes the place of a column of
        its name.
    result : sequence of str
        Columns that a call returns.

    Raises
    ------
    BayesPilotError
        If an expression cannot be evaluated outside the warehouse.

    Examples
    --------
    >>> connection = duckdb.connect()
    >>> twice = RowExpressions(connection, "twice", {"x": "DOUBLE"}, {"k": 2}, [{"y": ("DOUBLE", "k * x")}], ["y"])
    >>> twice([{"x": 1.5}, {"x": None}])
    {'y': [3.0, None]}
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        columns: Columns,
        constants: Mapping[str, Any],
        steps: Sequence[Mapping[str, tuple[str, str]]],
        result: Sequence[str],
    ) -> None:
        self._connection, self._name, self._result = connection, name, tuple(result)
        text = " ".join([*(sql for step in steps for _, sql in step.values()), *result]).lower()
        read = {column: kind for column, kind in columns.items() if column.lower() in text}
        self._read = tuple(read)
        structure = literal(json.dumps([read]))
        fixed = "".join(f", {literal(value)} as {quoted(column)}" for column, value in constants.items())
        select = (
            f"select *{fixed} from"
            f" (select unnest(from_json($1::varchar, {structure}), recursive := true)) as given"
        )
        known = {*read, *constants}
        for step in steps:
            replaced = ", ".join(quoted(column) for column in step if column in known)
            kept = f"* exclude ({replaced})" if replaced else "*"
            made = ", ".join(
                f"cast((\n{expression}\n) as {kind}) as {quoted(column)}"
                for column, (kind, expression) in step.items()
            )
            select = f"select {kept}, {made} from ({select}) as rows_so_far"
            known |= set(step)
        wanted = ", ".join(quoted(column) for column in result)
        try:
            connection.execute(f"prepare {name} as select {wanted} from ({select}) as evaluated")
        except duckdb.Error as error:
            raise BayesPilotError(
                f"the published expressions of {name} cannot be evaluated outside the warehouse",
                where="int_served_expressions",
                values=[str(error).splitlines()[0]],
                next_step="correct the expression in seeds/<source>/offers.csv, then bayespilot run",
            ) from error

    def __call__(self, rows: Rows) -> dict[str, list[Any]]:
        """Return the columns of the result, one value per row given, in their order."""
        given = [{column: row[column] for column in self._read} for row in rows]
        text = json.dumps(given, default=_text_of_day, allow_nan=False, separators=(",", ":"))
        found = self._connection.execute(f"execute {self._name}({literal(text)})").fetchall()
        columns = zip(*found, strict=True) if found else ([] for _ in self._result)
        return {name: list(column) for name, column in zip(self._result, columns, strict=True)}


class RememberedTexts:
    """One column of `RowExpressions`, of rows that come again and again: each is evaluated once.

    Parameters
    ----------
    evaluate : callable
        Takes rows and returns columns.
    column : str
    most : int
        Rows that are remembered at the same time.

    Examples
    --------
    >>> seen = []
    >>> def twice(rows):
    ...     seen.extend(rows)
    ...     return {"y": [2 * row["x"] for row in rows]}
    >>> remembered = RememberedTexts(twice, "y", most=2)
    >>> remembered([{"x": 1}, {"x": 1}]), remembered([{"x": 1}]), remembered([{"x": 1}, {"x": 2}])
    ([2, 2], [2], [2, 4])
    >>> [row["x"] for row in seen]
    [1, 1, 2]
    """

    def __init__(self, evaluate: Callable[[Rows], Mapping[str, list[Any]]], column: str, most: int) -> None:
        self._evaluate, self._column, self._most = evaluate, column, most
        self._texts: dict[tuple[Any, ...], Any] = {}

    def __call__(self, rows: Rows) -> list[Any]:
        """Return the value of each row; all rows have the same columns in the same order."""
        keys = [tuple(row.values()) for row in rows]
        if len(self._texts) + len(keys) > self._most:
            self._texts.clear()
        new = {key: row for key, row in zip(keys, rows, strict=True) if key not in self._texts}
        if new:
            self._texts |= zip(new, self._evaluate(list(new.values()))[self._column], strict=True)
        return [self._texts[key] for key in keys]


def literal(value: Any) -> str:  # noqa: ANN401 - text, number, truth value, day or nothing
    """Return a value as a SQL literal with its type.

    Examples
    --------
    >>> literal("it's"), literal(2), literal(0.5), literal(None), literal(date(2026, 10, 31)), literal(True)
    ("'it''s'", '2', '0.5::double', 'null', "date '2026-10-31'", 'true')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value!r}::double"
    if isinstance(value, datetime):
        return f"timestamp '{value.isoformat(sep=' ')}'"
    if isinstance(value, date):
        return f"date '{value.isoformat()}'"
    if isinstance(value, int):
        return str(value)
    return sql_text(str(value))


def quoted(column: str) -> str:
    """Return a column's name for SQL.

    Examples
    --------
    >>> print(quoted("fee"))
    "fee"
    """
    return '"' + column.replace('"', '""') + '"'


def _text_of_day(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(type(value).__name__)
