"""Training rows from any frame: columns brought to the types that pipelines read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from models_ml.errors import BayesPilotError
from models_ml.training.examples import Examples, check_values
from models_ml.training.schema import FeatureSchema, read_schema

Frame = Any  # pandas, polars, pyarrow: whatever pyarrow.table() takes

WHERE = "the frame given to train_candidates"
DATA_TYPES = {"numeric": "DOUBLE", "categorical": "VARCHAR"}


def feature_schema(
    roles: Mapping[str, str], expected_effects: Mapping[str, int] | None = None
) -> FeatureSchema:
    """Declare the features of a frame, in the order in which pipelines will read them.

    Parameters
    ----------
    roles : mapping of column to ``numeric`` or ``categorical``
    expected_effects : mapping of column to +1 (more of it raises churn), -1 (lowers it) or 0, optional

    Raises
    ------
    BayesPilotError
        If there is no feature, or a role or direction is unknown, or a direction names no feature.

    Examples
    --------
    >>> feature_schema({"orders": "numeric", "plan": "categorical"}, {"orders": -1}).expected_effects
    (-1, 0)
    """
    effects = expected_effects or {}
    unknown = sorted(effects.keys() - roles.keys())
    if unknown:
        raise BayesPilotError("an expected effect names no feature", where="expected_effects", values=unknown)
    return read_schema(
        {
            "feature": name,
            "role": role,
            "data_type": DATA_TYPES.get(role, role),
            "expected_effect": effects.get(name, 0),
        }
        for name, role in roles.items()
    )


def feature_columns(frame: Frame, schema: FeatureSchema) -> pa.Table:
    """Return the features of a frame: doubles where numeric, text where categorical.

    Raises
    ------
    BayesPilotError
        If a column is missing or cannot be read in its role.
    """
    table = as_table(frame)
    kinds = {f.feature: pa.float64() if f.role == "numeric" else pa.string() for f in schema.features}
    return pa.table({name: _column(table, name, kind) for name, kind in kinds.items()})


def as_table(frame: Frame) -> pa.Table:
    """Return an Arrow table of any frame that Arrow can read."""
    try:
        return frame if isinstance(frame, pa.Table) else pa.table(frame)
    except (TypeError, ValueError, pa.ArrowInvalid) as error:
        raise BayesPilotError(
            f"{type(frame).__name__} cannot be read as a table ({error})",
            where=WHERE,
            next_step="give a pandas, polars or pyarrow frame",
        ) from error


@dataclass(frozen=True)
class Columns:
    """Names of the columns beside the features; ``money`` ones are read only where there are economics."""

    label: str
    weight: str | None
    money: tuple[str, ...]
    signal_names: tuple[str, ...]


def read_examples(frame: Frame, schema: FeatureSchema, columns: Columns) -> Examples:
    """Return all rows of a frame as examples, in their order.

    Raises
    ------
    BayesPilotError
        If a column is missing, a label is not 0/1 or missing, a weight not positive, a value infinite.
    """
    table = as_table(frame)
    label = _column(table, columns.label, pa.float64()).to_numpy(zero_copy_only=False)
    wrong = ~np.isin(label, (0.0, 1.0))
    if wrong.any():
        raise BayesPilotError(
            f"the label {columns.label} is missing or not 0 or 1",
            where=WHERE,
            values=label[wrong][:5].tolist(),
            next_step="keep only rows whose outcome is known",
        )
    weight = np.ones(len(label))
    if columns.weight is not None:
        weight = _column(table, columns.weight, pa.float64()).to_numpy(zero_copy_only=False)
    features = feature_columns(table, schema)
    extra = {name: _column(table, name, pa.float64()) for name in columns.money if name not in schema.names}
    found = {name: features[name] for name in schema.names} | extra
    found |= {"has_churned": pa.array(label == 1), "example_weight": pa.array(weight)}
    examples = Examples(pa.table(found), schema, columns.signal_names)
    check_values(examples, WHERE)
    return examples


def date_column(frame: Frame, name: str) -> np.ndarray:
    """Return a column of dates, datetime64[D], shape (n,); none may be missing."""
    days = _column(as_table(frame), name, pa.date32())
    if days.null_count:
        raise BayesPilotError(f"{name} is missing in {days.null_count} rows", where=WHERE)
    return np.asarray(days.to_numpy()).astype("datetime64[D]")


def _column(table: pa.Table, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise BayesPilotError(
            "a column is missing",
            where=WHERE,
            values=[name],
            next_step="add it, or take it out of the schema",
        )
    column = table[name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(kind) and (
        pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    ):
        raise BayesPilotError(f"{name} holds text where numbers are declared", where=WHERE)
    try:
        return column.cast(kind)
    except pa.ArrowInvalid as error:
        raise BayesPilotError(f"{name} cannot be read as {kind} ({error})", where=WHERE) from error
    except pa.ArrowNotImplementedError as error:
        raise BayesPilotError(f"{name} cannot be read as {kind} ({error})", where=WHERE) from error
