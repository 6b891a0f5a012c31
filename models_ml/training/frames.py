"""Training rows from any frame: columns in the types that pipelines read, and the rows of each role."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from models_ml.errors import BayesPilotError
from models_ml.training.examples import Examples, check_values
from models_ml.training.schema import FeatureSchema, read_schema
from models_ml.training.search import SearchRows, search_dates
from models_ml.training.settings import TrainingSettings

Frame = Any  # pandas, polars, pyarrow: whatever pyarrow.table() takes
RowsOrDates = Any  # a boolean mask of one value per row, a date, or several dates

WHERE = "the frame given to train_candidates"
DATA_TYPES = {"numeric": "DOUBLE", "categorical": "VARCHAR"}


@dataclass(frozen=True)
class Columns:
    """Names of the columns beside the features; ``money`` ones are read only with decision inputs."""

    label: str
    weight: str | None
    money: tuple[str, ...]


@dataclass(frozen=True)
class RoleRows:
    """Rows of each role; ``search`` is None where settings cannot be searched."""

    fit: Examples
    calibrate: Examples
    judge: Examples
    search: SearchRows | None


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


def read_role_rows(
    frame: Frame,
    schema: FeatureSchema,
    columns: Columns,
    given: Mapping[str, RowsOrDates],
    date_name: str | None,
    horizon_days: int | None,
    settings: TrainingSettings,
) -> RoleRows:
    """Return the rows of each role, at most as many as the settings allow, and those of a search if there are dates.

    Raises
    ------
    BayesPilotError
        If a role is empty or of one class, rows have two roles, or roles lie too close in time.
    """
    if date_name is not None and horizon_days is None:
        raise BayesPilotError("dates need horizon_days, the gap between roles", where=WHERE)
    examples = read_examples(frame, schema, columns)
    dates = None if date_name is None else date_column(frame, date_name)
    masks = role_masks(given, dates, examples.table.num_rows, horizon_days)
    for role, mask in masks.items():
        _check_classes(role, examples.has_churned[mask])
    searched = None
    if dates is not None and horizon_days is not None:
        searched = _search_rows(examples, dates, masks["fit"], horizon_days, settings)
    rules = settings.rows
    return RoleRows(
        _part(examples, masks["fit"], rules.fit_at_most, settings.seed),
        _part(examples, masks["calibrate"], rules.calibration_at_most, settings.seed),
        _part(examples, masks["judge"], rules.judged_at_most, settings.seed),
        searched,
    )


def role_masks(
    roles: Mapping[str, RowsOrDates], dates: np.ndarray | None, rows: int, horizon_days: int | None
) -> dict[str, np.ndarray]:
    """Return a mask per role, and check that no row has two and that each role starts a horizon after the last.

    Parameters
    ----------
    roles : mapping of role to mask or dates, earliest first
    dates : ndarray of shape (rows,), datetime64[D], or None where rows have no date
    """
    masks = {role: _mask(role, given, dates, rows) for role, given in roles.items()}
    empty = [role for role, mask in masks.items() if not mask.any()]
    if empty:
        raise BayesPilotError("no rows for a role", where=WHERE, values=empty, next_step="check its dates")
    shared = int((np.sum(list(masks.values()), axis=0) > 1).sum())
    if shared:
        raise BayesPilotError(
            f"{shared} rows have two roles",
            where=WHERE,
            next_step="give each row to one of fit, calibrate, judge",
        )
    if dates is not None and horizon_days is not None:
        _check_gaps(masks, dates, horizon_days)
    return masks


def read_examples(frame: Frame, schema: FeatureSchema, columns: Columns) -> Examples:
    """Return all rows of a frame as examples, in their order.

    Raises
    ------
    BayesPilotError
        If a column is missing, a label is not 0/1 or missing, a weight not positive, a value infinite.
    """
    table = as_table(frame)
    if not table.num_rows:
        raise BayesPilotError(
            "the frame has no rows", where=WHERE, next_step="give the frame of past customers"
        )
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
    examples = Examples(pa.table(found), schema)
    check_values(examples, WHERE)
    return examples


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


def date_column(frame: Frame, name: str) -> np.ndarray:
    """Return a column of dates, datetime64[D], shape (n,); none may be missing."""
    days = _column(as_table(frame), name, pa.date32())
    if days.null_count:
        raise BayesPilotError(f"{name} is missing in {days.null_count} rows", where=WHERE)
    return np.asarray(days.to_numpy()).astype("datetime64[D]")


def to_dates(days: np.ndarray) -> list[date]:
    """Return the distinct dates, earliest first."""
    return [day.item() for day in np.unique(days)]


def _search_rows(
    examples: Examples, dates: np.ndarray, fit: np.ndarray, horizon_days: int, settings: TrainingSettings
) -> SearchRows | None:
    found = search_dates(to_dates(dates[fit]), horizon_days)
    if found is None:
        return None
    earlier = np.isin(dates, np.array(found[0], dtype="datetime64[D]"))
    last = dates == np.datetime64(found[1])
    rules = settings.search
    return SearchRows(
        _part(examples, fit & earlier, rules.fit_rows_at_most, settings.seed),
        _part(examples, fit & last, rules.validation_rows_at_most, settings.seed),
    )


def _part(examples: Examples, mask: np.ndarray, at_most: int, seed: int) -> Examples:
    rows = np.flatnonzero(mask)
    if at_most and len(rows) > at_most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, at_most, replace=False))
    return Examples(examples.table.take(rows), examples.schema)


def _check_classes(role: str, has_churned: np.ndarray) -> None:
    if has_churned.all() or not has_churned.any():
        churners = "everybody" if has_churned.all() else "nobody"
        raise BayesPilotError(
            f"{churners} churned in the {len(has_churned)} rows to {role}",
            where=WHERE,
            next_step=f"give more rows or dates to {role}",
        )


def _mask(role: str, given: RowsOrDates, dates: np.ndarray | None, rows: int) -> np.ndarray:
    array = np.asarray(given)
    if array.dtype == object and all(isinstance(value, bool | np.bool_) for value in array.ravel()):
        array = array.astype(bool)  # a pandas column of nullable booleans
    if array.dtype == bool:
        if array.shape != (rows,):
            raise BayesPilotError(
                f"the mask for {role} has shape {array.shape}, the frame {rows} rows", where=WHERE
            )
        return array
    if dates is None:
        raise BayesPilotError(
            f"{role} is given by dates, but no column of dates is named",
            where=WHERE,
            next_step="name it (date=…), or give boolean masks",
        )
    try:
        days = np.atleast_1d(array).astype("datetime64[D]")
    except (TypeError, ValueError) as error:
        raise BayesPilotError(
            f"{role} is given by something other than dates",
            where=WHERE,
            values=np.atleast_1d(array).tolist(),
            next_step="give dates of the column, or a boolean mask",
        ) from error
    return np.isin(dates, days)


def _check_gaps(masks: Mapping[str, np.ndarray], dates: np.ndarray, horizon_days: int) -> None:
    for earlier, later in itertools.pairwise(masks):
        last, first = dates[masks[earlier]].max().item(), dates[masks[later]].min().item()
        if first - last < timedelta(days=horizon_days):
            raise BayesPilotError(
                f"rows to {later} start on {first}, less than a horizon of {horizon_days} days after the last"
                f" rows to {earlier}: the earlier labels would not be known when the later rows begin",
                where=WHERE,
                values=[f"{earlier} to {last}", f"{later} from {first}"],
                next_step=f"leave {horizon_days} days between them",
            )


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
