"""What became of customers after the horizon, by a churn probability from a pipeline that did not see them.

Training examples of later dates say whether a customer who had stayed so far left in the period that begins there. Only
stretches without contact count; a customer left alone by chance has the weight of all who might have been.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from hashlib import md5
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models_ml.decisions.retention_curves import RetentionCurves
from models_ml.decisions.retention_fit import (
    FollowUp,
    Renewals,
    fit_retention_curves,
    grouped_follow_up,
    retention_curves_table,
)
from models_ml.decisions.settings import RetentionCurveSettings
from models_ml.errors import BayesPilotError
from models_ml.training.examples import Examples, check_values, refit_split
from models_ml.training.pipeline import fit_pipeline
from models_ml.training.schema import FeatureSchema
from models_ml.training.settings import TrainingSettings

CANDIDATE = "logistic_regression"  # ranks well, and fits in seconds
EXTRA_COLUMNS = (
    "customer_id",
    "as_of_date",
    "has_churned",
    "was_contacted",
    "example_weight",
    "renewal_interval_days",
    "days_to_renewal",
)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class CustomerDates:
    """Customers × dates, earliest first: every field but ``dates`` has shape (customers, dates).

    ``is_there`` says whether the customer was at risk on the date; all else means something only where it holds.
    ``churn_probability`` comes from a pipeline that did not see the customer. ``renewal_interval_days`` is 0 for
    customers billed at least once a horizon.
    """

    dates: tuple[date, ...]
    is_there: Bools
    churn_probability: Floats
    has_churned: Bools
    was_contacted: Bools
    weight: Floats
    renewal_interval_days: Integers
    days_to_renewal: Integers


@dataclass(frozen=True)
class LearnedCurves:
    """Retention curves, and the table that shows them beside what was observed."""

    curves: RetentionCurves
    table: pa.Table


def learn_curves(
    cursor: Any,  # noqa: ANN401 - a DuckDB connection or cursor
    query: str,
    schema: FeatureSchema,
    horizon_days: int,
    settings: TrainingSettings,
    curve_settings: RetentionCurveSettings,
) -> LearnedCurves:
    """Fit retention curves to ``training_examples``; those of the whole population where labels are too few.

    Parameters
    ----------
    cursor : duckdb cursor
    query : str
        A select that yields ``training_examples``.
    schema : FeatureSchema
    horizon_days : int
    settings : TrainingSettings
        ``rows.followed_at_most`` customers are followed, drawn by a hash.
    curve_settings : RetentionCurveSettings
    """
    table = _read(cursor, query, schema, settings.rows.followed_at_most)
    untouched = Examples(table.filter(pc.invert(table["was_contacted"])), schema)
    probability = _out_of_sample(table, schema, horizon_days, settings)
    followed = customer_dates(table, probability)
    follow_up, repeats = follow(followed, horizon_days, curve_settings)
    renewals = count_renewals(followed, horizon_days)
    if probability is None:  # without a risk of their own, all customers have the same hazard
        follow_up, repeats = _nobody_followed(), 1.0
    curves = fit_retention_curves(
        follow_up,
        renewals,
        mean_churn=_mean_churn(untouched, curve_settings.smallest_probability),
        horizon_days=horizon_days,
        repeats=repeats,
        settings=curve_settings,
    )
    return LearnedCurves(curves, retention_curves_table(curves, follow_up, renewals))


def _read(cursor: Any, query: str, schema: FeatureSchema, at_most: int) -> pa.Table:  # noqa: ANN401
    columns = ", ".join(f'"{name}"' for name in dict.fromkeys([*EXTRA_COLUMNS, *schema.names]))
    limit = f"limit {at_most}" if at_most else ""
    return cursor.sql(
        f"""
        with followed as (
            select customer_id
            from ({query})
            group by customer_id
            order by md5(customer_id), customer_id
            {limit}
        )
        select {columns}
        from ({query}) as examples
        where examples.customer_id in (select customer_id from followed)
        order by as_of_date, customer_id
        """
    ).to_arrow_table()


def _mean_churn(untouched: Examples, smallest: float) -> float:
    if not untouched.table.num_rows:
        return 0.5  # training refuses such rows by name
    mean = np.average(untouched.has_churned, weights=untouched.example_weight)
    return float(np.clip(mean, smallest, 1.0 - smallest))


def _out_of_sample(
    table: pa.Table, schema: FeatureSchema, horizon_days: int, settings: TrainingSettings
) -> Floats | None:
    """Return each row's churn probability by a pipeline fitted on the other half of the customers, shape (n,).

    None where a half has too few dates, or only leavers or only stayers.
    """
    names = table["customer_id"].to_pylist()
    half = np.array([_half(name) for name in names], dtype=np.int64)
    contacted = table["was_contacted"].to_numpy(zero_copy_only=False).astype(bool)
    probability = np.empty(len(half))
    for each in (0, 1):
        others = Examples(table.filter(pa.array((half != each) & ~contacted)), schema)
        check_values(others, "training_examples")
        parts = _fit_and_calibrate(others, horizon_days)
        if parts is None or any(len(np.unique(part.has_churned)) < 2 for part in parts):
            return None
        pipeline = fit_pipeline(CANDIDATE, *parts, schema, settings)
        mine = table.filter(pa.array(half == each))
        probability[half == each] = pipeline.score(mine.select(list(schema.names)))[0]
    return probability


def _half(customer_id: str) -> int:
    """Return which half of all customers one belongs to, 0 or 1, by its name alone."""
    return md5(f"half/{customer_id}".encode(), usedforsecurity=False).digest()[0] & 1


def _fit_and_calibrate(examples: Examples, horizon_days: int) -> tuple[Examples, Examples] | None:
    days = examples.table["as_of_date"].cast(pa.date32())
    try:
        split = refit_split(days.unique().to_pylist(), horizon_days)
    except BayesPilotError:
        return None
    fit = pc.is_in(days, value_set=pa.array(split.fit_on, pa.date32()))
    calibrate = pc.equal(days, pa.scalar(split.calibrated_on, pa.date32()))
    return Examples(examples.table.filter(fit), examples.schema), Examples(
        examples.table.filter(calibrate), examples.schema
    )


def customer_dates(table: pa.Table, probability: Floats | None) -> CustomerDates:
    """Lay rows of ``training_examples`` out as customers × dates."""
    customers, row = np.unique(np.array(table["customer_id"].to_pylist(), dtype=str), return_inverse=True)
    days = table["as_of_date"].cast(pa.date32())
    dates = sorted(days.unique().to_pylist())
    column = pc.index_in(days, value_set=pa.array(dates, pa.date32())).to_numpy()

    def laid_out(values: NDArray[Any]) -> NDArray[Any]:
        grid = np.zeros((len(customers), len(dates)), dtype=values.dtype)
        grid[row, column] = values
        return grid

    def numbers(name: str, kind: type) -> NDArray[Any]:
        return laid_out(table[name].fill_null(0).to_numpy(zero_copy_only=False).astype(kind))

    return CustomerDates(
        tuple(dates),
        laid_out(np.ones(table.num_rows, dtype=bool)),
        laid_out(np.zeros(table.num_rows) if probability is None else probability),
        laid_out(table["has_churned"].to_numpy(zero_copy_only=False).astype(bool)),
        laid_out(table["was_contacted"].to_numpy(zero_copy_only=False).astype(bool)),
        numbers("example_weight", float),
        numbers("renewal_interval_days", int),
        numbers("days_to_renewal", int),
    )


def follow(
    followed: CustomerDates, horizon_days: int, settings: RetentionCurveSettings
) -> tuple[FollowUp, float]:
    """Return later periods without contact of customers who may leave at any time, and in how many rows each occurs.

    A period begins at a later date, as many horizons after the first as are nearest. Periods of one stretch do not
    overlap: dates that lie within the period before are passed over, or those who leave beyond that date would be
    missing from the next period. A customer is followed until a contact, an end, or a date at which it is no longer
    there; its weight is the product of those of its periods.

    Examples
    --------
    Two customers stay through the first period; one leaves in the second, the other is contacted in it:

    >>> days = tuple(date(2025, month, 1) for month in (1, 2, 3))
    >>> there, zeros = np.ones((2, 3), bool), np.zeros((2, 3), int)
    >>> left = np.array([[False, True, False], [False, False, False]])
    >>> contacted = np.array([[False, False, False], [False, True, False]])
    >>> grid = CustomerDates(days, there, np.full((2, 3), 0.2), left, contacted, np.ones((2, 3)), zeros, zeros)
    >>> found, repeats = follow(grid, 28, RetentionCurveSettings(1.0, 0.5, 10.0, 0.5, 0.01, 1e-6))
    >>> found.period.tolist(), found.at_risk.tolist(), found.left.tolist(), repeats
    ([1], [1.0], [1.0], 1.0)
    """
    free = followed.is_there & ~followed.was_contacted & (followed.renewal_interval_days == 0)
    parts: list[tuple[NDArray[Any], ...]] = []
    seen = np.zeros_like(free)
    for first in range(len(followed.dates)):
        stays = free[:, first] & ~followed.has_churned[:, first]
        weight = followed.weight[:, first].copy()
        before = first
        for later in range(first + 1, len(followed.dates)):
            stays &= ~followed.was_contacted[:, later]
            if (followed.dates[later] - followed.dates[before]).days < horizon_days:
                continue
            stays &= free[:, later]
            rows, before = np.flatnonzero(stays), later
            weight[rows] *= followed.weight[rows, later]
            period = round((followed.dates[later] - followed.dates[first]).days / horizon_days)
            left = followed.has_churned[rows, later]
            seen[rows, later] = True
            parts.append(
                (followed.churn_probability[rows, first], np.full(len(rows), period), left, weight[rows])
            )
            stays[rows[left]] = False
    if not parts or not seen.any():
        return _nobody_followed(), 1.0
    probability, period_of, has_left, weights = (np.concatenate(each) for each in zip(*parts, strict=True))
    repeats = len(weights) / int(seen.sum())
    return grouped_follow_up(probability, period_of, has_left, weights, settings), repeats


def _nobody_followed() -> FollowUp:
    return FollowUp(np.empty(0), np.empty(0, dtype=np.int64), np.empty(0), np.empty(0))


def count_renewals(followed: CustomerDates, horizon_days: int) -> Renewals:
    """Count renewals and leavers of customers billed for longer than a horizon, in periods without contact.

    Each is counted once, at the last date before it. Who leaves before the bill is due counts as a renewal that was
    lost: there will be none.

    Examples
    --------
    One renewal is paid, one customer leaves at the renewal, one long before it:

    >>> grid = CustomerDates(
    ...     (date(2025, 1, 1),), *(np.array([[value]] * 3) for value in (True, 0.1)),
    ...     np.array([[False], [True], [True]]), np.zeros((3, 1), bool), np.ones((3, 1)), np.full((3, 1), 365),
    ...     np.array([[10], [10], [99]]))
    >>> found = count_renewals(grid, 28)
    >>> found.interval_days.tolist(), found.renewals.tolist(), found.left.tolist()
    ([365], [3.0], [2.0])
    """
    bound = followed.is_there & ~followed.was_contacted & (followed.renewal_interval_days > 0)
    days = np.array([day.toordinal() for day in followed.dates])
    days_to_next = np.minimum(np.diff(days, append=days[-1:] + horizon_days), horizon_days)
    is_there_next = np.pad(followed.is_there[:, 1:], ((0, 0), (0, 1)))
    leaves = bound & followed.has_churned & ~is_there_next
    ends = leaves | (bound & (followed.days_to_renewal < days_to_next))
    lengths, kind = np.unique(followed.renewal_interval_days[bound], return_inverse=True)
    renewals, left = (
        np.bincount(kind, weights=(followed.weight * each)[bound], minlength=len(lengths)).astype(np.float64)
        for each in (ends, leaves)
    )
    return Renewals(lengths, renewals, left)
