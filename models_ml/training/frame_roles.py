"""Which rows of a frame fit, calibrate and judge: given by dates a horizon apart, or by masks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from models_ml.errors import BayesPilotError
from models_ml.training.examples import Examples
from models_ml.training.frames import WHERE, Columns, Frame, date_column, read_examples
from models_ml.training.schema import FeatureSchema
from models_ml.training.search import SearchRows, search_dates
from models_ml.training.settings import TrainingSettings

RowsOrDates = Any  # a boolean mask of one value per row, a date, or several dates


@dataclass(frozen=True)
class Roles:
    """Rows of each role; ``search`` is None where settings cannot be searched."""

    fit: Examples
    calibrate: Examples
    judge: Examples
    search: SearchRows | None


def read_roles(
    frame: Frame,
    schema: FeatureSchema,
    columns: Columns,
    given: Mapping[str, RowsOrDates],
    date_name: str | None,
    horizon_days: int | None,
    settings: TrainingSettings,
) -> Roles:
    """Return the rows of each role, capped as the settings say, and those of a search where there are dates.

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
    return Roles(
        _part(examples, masks["fit"], rules.fit_at_most, settings.seed),
        _part(examples, masks["calibrate"], rules.calibration_at_most, settings.seed),
        _part(examples, masks["judge"], rules.judged_at_most, settings.seed),
        searched,
    )


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
    return Examples(examples.table.take(rows), examples.schema, examples.signal_names)


def _check_classes(role: str, has_churned: np.ndarray) -> None:
    if has_churned.all() or not has_churned.any():
        who = "everybody" if has_churned.all() else "nobody"
        raise BayesPilotError(f"{who} churned in the {len(has_churned)} rows to {role}", where=WHERE)


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


def to_dates(days: np.ndarray) -> list[date]:
    """Return the distinct dates, earliest first."""
    return [day.item() for day in np.unique(days)]


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
    return np.isin(dates, np.atleast_1d(array).astype("datetime64[D]"))


def _check_gaps(masks: Mapping[str, np.ndarray], dates: np.ndarray, horizon_days: int) -> None:
    for earlier, later in itertools.pairwise(masks):
        last, first = dates[masks[earlier]].max().item(), dates[masks[later]].min().item()
        if first - last < timedelta(days=horizon_days):
            raise BayesPilotError(
                f"rows to {later} start on {first}, less than a horizon of {horizon_days} days after the last"
                f" rows to {earlier}: labels of the one would not be known to the other",
                where=WHERE,
                values=[f"{earlier} to {last}", f"{later} from {first}"],
                next_step=f"leave {horizon_days} days between them",
            )
