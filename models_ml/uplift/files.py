"""A trial in a file: CSV or Parquet, its columns declared as features where they can be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from models_ml.errors import BayesPilotError
from models_ml.training.frames import feature_schema
from models_ml.training.schema import FeatureSchema
from models_ml.uplift.settings import ColumnSettings

CONTROL_NAMES = ("no", "none", "control", "no_action", "no_contact", "nothing", "untreated", "false", "0")
PARQUET = (".parquet", ".pq")


def read_file(path: Path) -> pa.Table:
    """Read a CSV file, or a Parquet file by its ending.

    Raises
    ------
    BayesPilotError
        If there is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise BayesPilotError(
            "there is no such file", where=str(path), next_step="give a CSV or Parquet file"
        )
    try:
        is_parquet = path.suffix.lower() in PARQUET
        table = pyarrow.parquet.read_table(path) if is_parquet else pyarrow.csv.read_csv(path)
    except (pa.ArrowInvalid, UnicodeDecodeError, OSError) as error:
        raise BayesPilotError(
            f"the file cannot be read ({error})",
            where=str(path),
            next_step="give a CSV file with a header and commas, or a Parquet file ending in .parquet",
        ) from error
    names = table.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BayesPilotError(
            "several columns have the same name",
            where=str(path),
            values=twice,
            next_step="rename them in the file",
        )
    return table if is_parquet else _texts_with_missing_values(table, path)


def _texts_with_missing_values(table: pa.Table, path: Path) -> pa.Table:
    """Return the columns of a CSV file, empty texts as missing: they are missing in a column of numbers too.

    Raises
    ------
    BayesPilotError
        If a column holds bytes that are no UTF-8.
    """
    bytes_in = [field.name for field in table.schema if pa.types.is_binary(field.type)]
    if bytes_in:
        raise BayesPilotError(
            "the file is not in UTF-8", where=str(path), values=bytes_in, next_step="save it as CSV in UTF-8"
        )
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            column = table.column(place)
            filled = pc.if_else(pc.equal(column, ""), pa.scalar(None, field.type), column)
            table = table.set_column(place, field, filled)
    return table


def guess_control(arms: Sequence[str], treatment: str) -> str:
    """Return the one arm that is called like a control.

    Raises
    ------
    BayesPilotError
        If there is none, or several.

    Examples
    --------
    >>> guess_control(["call", "No"], "offer")
    'No'
    """
    found = [arm for arm in arms if arm.strip().lower().replace(" ", "_") in CONTROL_NAMES]
    if len(found) == 1:
        return found[0]
    raise BayesPilotError(
        f"which arm of {treatment} got nothing is not clear", values=arms, next_step="name it: --control"
    )


def file_schema(
    table: pa.Table, *, settings: ColumnSettings, named: Sequence[str], left_out: Collection[str]
) -> tuple[FeatureSchema, tuple[str, ...]]:
    """Return the features of a file, and in words which columns were left out.

    Numbers are numeric, except few distinct whole numbers, which are codes; texts and booleans are categories.
    Dates, and columns with one value or another value in every row, tell nothing and are left out.

    Parameters
    ----------
    named : names of the features; all columns but those left out where empty

    Raises
    ------
    BayesPilotError
        If a named column is missing, or nothing is left.
    """
    missing = sorted({*named, *left_out} - set(table.column_names))
    if missing:
        raise BayesPilotError(
            "a column is missing",
            where="the file",
            values=missing,
            next_step=f"choose among {', '.join(table.column_names)}",
        )
    roles: dict[str, str] = {}
    without: dict[str, list[str]] = {}
    for name in named or [name for name in table.column_names if name not in left_out]:
        role, fault = _role(table[name], settings)
        if fault:
            without.setdefault(fault, []).append(name)
        else:
            roles[name] = role
    notes = tuple(f"Left out, {fault}: {', '.join(names)}." for fault, names in without.items())
    if not roles:
        raise BayesPilotError(
            "no column is left as a feature",
            where="the file",
            values=notes,
            next_step="name some: --features",
        )
    return feature_schema(roles), notes


def _role(column: pa.ChunkedArray, settings: ColumnSettings) -> tuple[str, str]:
    """Return the role of a column, or why it cannot be a feature."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    distinct = pc.count_distinct(column.cast(kind)).as_py()
    is_whole, is_text = pa.types.is_integer(kind), pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if distinct + (column.null_count > 0) < 2:
        return "", "one value only"
    if (is_whole or is_text) and distinct == len(column):
        return "", "another value in every row"
    if is_text or pa.types.is_boolean(kind):
        return "categorical", ""
    if is_whole and distinct <= settings.whole_numbers_as_categories_at_most:
        return "categorical", ""
    if is_whole or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "numeric", ""
    return "", f"{kind} is not read"
