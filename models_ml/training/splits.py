"""Which dates teach, calibrate and judge: always a gap of one horizon, so that no label peeks ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from models_ml.errors import BayesPilotError


@dataclass(frozen=True)
class DateCount:
    """Untouched customers at one matured month end; ``all_rows`` counts contacted ones too."""

    as_of_date: date
    rows: int
    churners: int
    all_rows: int


@dataclass(frozen=True)
class TimeSplit:
    """Dates by role; ``judged_on`` is None for the refit, which has no later date left."""

    fit_on: tuple[date, ...]
    calibrated_on: date
    judged_on: date | None


def judged_split(dates: Sequence[date], horizon_days: int) -> TimeSplit:
    """Fit → calibrate → judge, each at least one horizon after the one before.

    Parameters
    ----------
    dates : matured as-of dates, in any order
    horizon_days : int
        Days in which churn is judged; a label of date d is known on d + horizon.

    Raises
    ------
    BayesPilotError
        If the dates do not span two gaps of one horizon.

    Examples
    --------
    >>> ends = [date(2025, month, 28) for month in range(1, 5)]
    >>> split = judged_split(ends, 28)
    >>> split.judged_on, split.calibrated_on, len(split.fit_on)
    (datetime.date(2025, 4, 28), datetime.date(2025, 3, 28), 2)
    """
    judged_on = max(dates, default=None)
    calibrated_on = max(dates_before(dates, judged_on, horizon_days), default=None)
    fit_on = dates_before(dates, calibrated_on, horizon_days)
    if calibrated_on is None or not fit_on:
        raise _too_few(dates, horizon_days)
    return TimeSplit(fit_on, calibrated_on, judged_on)


def refit_split(dates: Sequence[date], horizon_days: int) -> TimeSplit:
    """Return the deployed pipeline's split: calibrated on the last matured date, fitted a horizon before.

    Raises
    ------
    BayesPilotError
        If no date lies a horizon before the last.
    """
    calibrated_on = max(dates, default=None)
    fit_on = dates_before(dates, calibrated_on, horizon_days)
    if calibrated_on is None or not fit_on:
        raise _too_few(dates, horizon_days)
    return TimeSplit(fit_on, calibrated_on, None)


def check_classes(counts: Sequence[DateCount], split: TimeSplit) -> None:
    """Refuse a role in which everybody or nobody churned.

    Raises
    ------
    BayesPilotError
        With the counts per date, if a role lacks churners or stayers.
    """
    roles = {"fitting": split.fit_on, "calibrating": (split.calibrated_on,)}
    if split.judged_on:
        roles["judging"] = (split.judged_on,)
    for role, dates in roles.items():
        rows = sum(count.rows for count in counts if count.as_of_date in dates)
        churners = sum(count.churners for count in counts if count.as_of_date in dates)
        if churners in (0, rows):
            role_first = sorted(counts, key=lambda count: (count.as_of_date not in dates, count.as_of_date))
            raise BayesPilotError(
                f"cannot train: {'nobody' if churners == 0 else 'everybody'} churned in the rows for {role}",
                where=f"training_examples, {min(dates)} to {max(dates)}",
                values=[f"{c.as_of_date}: {c.churners} of {c.rows} churned" for c in role_first],
                next_step="check churn_definition and horizon_days in policy.csv against churn_labels",
            )


def dates_before(dates: Sequence[date], later: date | None, horizon_days: int) -> tuple[date, ...]:
    """Return the dates at least a horizon before ``later``, earliest first: their labels are known on it."""
    if later is None:
        return ()
    return tuple(sorted(day for day in dates if day <= later - timedelta(days=horizon_days)))


def _too_few(dates: Sequence[date], horizon_days: int) -> BayesPilotError:
    return BayesPilotError(
        "cannot train: too few matured month ends with untouched customers. Needed are three dates, to fit,"
        f" to calibrate and to judge, each {horizon_days} days or more after the one before;"
        f" there are {len(dates)}",
        where="training_examples",
        values=sorted(dates),
        next_step="give more history, or lower horizon_days or raise training_month_ends in policy.csv",
    )
