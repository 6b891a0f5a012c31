"""Training rows: only customers without contact, in a stated order, split by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models_ml.errors import BayesPilotError
from models_ml.training.schema import FeatureSchema, infinite_values

WEIGHT = "example_weight"
DAYS_COLUMNS = ("days_to_unexplained_contact", "days_to_departure")
NOTICE = "announced_fee_share"  # feature above 0 where a customer has announced an end


@dataclass(frozen=True)
class DateCount:
    """Customers without contact at one matured date; ``all_rows`` includes contacted customers."""

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


@dataclass(frozen=True)
class DateRules:
    """Parameters that say which days are training dates.

    They are the days that ``step_days`` divides, from ``minimum_history_days`` after the start of the data to
    ``label_days`` (of them ``grace_days`` of pause) before the run, the newest ``dates_at_most`` of them.
    """

    label_days: int
    grace_days: int
    step_days: int
    dates_at_most: int
    minimum_history_days: int

    @property
    def dates_needed(self) -> int:
        """Neighbouring dates that hold three with ``label_days`` between each."""
        return 2 * -(-self.label_days // self.step_days) + 1

    @property
    def history_needed(self) -> int:
        """Days of data before the run that are enough, however the dates fall."""
        first_date_after = self.minimum_history_days + self.step_days - 1
        return first_date_after + (self.dates_needed - 1) * self.step_days + self.label_days


@dataclass(frozen=True)
class Examples:
    """Rows of ``training_examples``, ordered by as_of_date and customer_id."""

    table: pa.Table
    schema: FeatureSchema

    @property
    def features(self) -> pa.Table:
        """The feature columns."""
        return self.table.select(list(self.schema.names))

    @cached_property
    def has_churned(self) -> np.ndarray:
        """Labels, bool, shape (n,)."""
        return self._column("has_churned").astype(bool)

    @cached_property
    def example_weight(self) -> np.ndarray:
        """How many customers of its date each row stands for: 1 / probability of having been left alone, shape (n,)."""
        return self._column(WEIGHT).astype(float)

    @cached_property
    def has_given_notice(self) -> np.ndarray | None:
        """Whether each customer had announced an end, bool, shape (n,); None where the features do not say."""
        if NOTICE not in self.schema.names:
            return None
        share = self.table[NOTICE].cast(pa.float64()).to_numpy()
        return np.asarray(np.nan_to_num(share) > 0)

    def offers_allowed(self, offers: int) -> np.ndarray:
        """Return which offers consent and eligibility allow, bool, shape (n, offers)."""
        bits = self._column("offers_allowed").astype(np.int64)
        return (bits[:, None] >> np.arange(offers)) & 1 == 1

    def _column(self, name: str) -> np.ndarray:
        return np.asarray(self.table[name].to_numpy())


@dataclass(frozen=True)
class ExampleReader:
    """Reads ``training_examples`` through a DuckDB cursor.

    Parameters
    ----------
    cursor : duckdb connection or cursor
    query : str
        A select that yields ``training_examples``.
    schema : FeatureSchema
    money_columns : sequence of str
        What valuing offers reads beside the features (`models_ml.decisions.economics.needed_columns`).
    """

    cursor: Any
    query: str
    schema: FeatureSchema
    money_columns: Sequence[str]

    def date_counts(self) -> list[DateCount]:
        """Count rows and churners per matured date that has customers without contact, earliest first."""
        counted = self.cursor.execute(
            f"""
            select
                as_of_date,
                count(*) filter (where not was_contacted),
                count(*) filter (where has_churned and not was_contacted),
                count(*)
            from ({self.query})
            group by as_of_date
            order by as_of_date
            """
        ).fetchall()
        return [DateCount(*row) for row in counted if row[1] > 0]

    def has_unexplained_contacts(self, dates: Sequence[date]) -> bool:
        """Tell whether contacts that no logged draw explains fell into the horizon of these dates."""
        found = self.cursor.execute(
            f"""
            select count(*)
            from ({self.query})
            where days_to_unexplained_contact is not null and as_of_date in ({_listed(dates)})
            """
        ).fetchall()
        return bool(found[0][0])

    def read(self, dates: Sequence[date], at_most: int, *, with_unexplained: bool = False) -> Examples:
        """Read rows without contact of these dates; if there are more than ``at_most`` (> 0), a part drawn by a hash.

        ``with_unexplained`` also reads rows with a contact that no logged draw explains, and its days.

        Raises
        ------
        BayesPilotError
            If a value is infinite, or a weight is not positive.
        """
        rows = "not was_contacted" + (
            " or days_to_unexplained_contact is not null" if with_unexplained else ""
        )
        columns = [*self._columns(), *(DAYS_COLUMNS if with_unexplained else ())]
        limit = f"order by md5(customer_id || as_of_date), customer_id limit {at_most}" if at_most else ""
        table = self.cursor.sql(
            f"""
            with drawn as (
                select {", ".join(columns)}
                from ({self.query})
                where ({rows}) and as_of_date in ({_listed(dates)})
                {limit}
            )
            select * from drawn order by as_of_date, customer_id
            """
        ).to_arrow_table()
        examples = Examples(table, self.schema)
        check_values(examples, "training_examples")
        return examples

    def _columns(self) -> list[str]:
        columns = [
            "customer_id",
            "as_of_date",
            "has_churned",
            WEIGHT,
            *self.money_columns,
            *self.schema.names,
        ]
        return [f'"{name}"' for name in dict.fromkeys(columns)]


def _listed(dates: Sequence[date]) -> str:
    return ", ".join(f"date '{day.isoformat()}'" for day in dates)


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


def check_date_count(dates: Sequence[date], rules: DateRules) -> None:
    """Refuse fewer dates than a training needs, with what gives more of them.

    Raises
    ------
    BayesPilotError
        If the dates do not span two gaps of ``label_days``.
    """
    try:
        judged_split(dates, rules.label_days)
    except BayesPilotError as error:
        raise _too_few(dates, rules.label_days, ways_to_more_dates(len(dates), rules)) from error


def ways_to_more_dates(found: int, rules: DateRules) -> str:
    """Return what a person can do where ``found`` dates are too few, each way enough by itself.

    Examples
    --------
    >>> monthly = DateRules(28, 0, 29, dates_at_most=12, minimum_history_days=90)
    >>> ways_to_more_dates(2, monthly)  # the earlier date of three lies 29 days before: 90 − 29 = 61; (28 + 29 + 1) / 4
    'load at least 204 days of data up to the run, or in policy.csv set minimum_history_days to 61 or horizon_days and \
training_step_days to 14'
    >>> ways_to_more_dates(3, DateRules(28, 0, 10, dates_at_most=3, minimum_history_days=90))
    'set training_dates to 7 in policy.csv; they need at least 187 days of data up to the run'
    """
    if found >= rules.dates_at_most:
        return (
            f"set training_dates to {rules.dates_needed} in policy.csv; they need at least {rules.history_needed}"
            " days of data up to the run"
        )
    ways = f"load at least {rules.history_needed} days of data up to the run"
    lower_start = rules.minimum_history_days - (rules.dates_needed - found) * rules.step_days
    # From the first date found to the run lie at least so many days; a step as long as the horizon needs four of them.
    known_days = rules.label_days + (found - 1) * rules.step_days
    lower_horizon = (known_days + 1) // 4
    if rules.dates_at_most < rules.dates_needed:
        return f"{ways} and set training_dates to {rules.dates_needed} in policy.csv"
    parameters = []
    if found and lower_start >= 0:
        parameters.append(f"minimum_history_days to {lower_start}")
    if found and not rules.grace_days and lower_horizon > 0:
        parameters.append(f"horizon_days and training_step_days to {lower_horizon}")
    return ways + (f", or in policy.csv set {' or '.join(parameters)}" if parameters else "")


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


def check_classes(counts: Sequence[DateCount], split: TimeSplit, churn_definition: str) -> None:
    """Refuse a role whose rows are all churners or all stayers.

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
                next_step=_way_to_both_classes(churners == 0, churn_definition),
            )


def _way_to_both_classes(nobody_churned: bool, churn_definition: str) -> str:
    """Return what a person can do: a longer horizon holds more ends of subscriptions, and more signs of life."""
    raises = nobody_churned == (churn_definition == "subscription_end")
    return (
        f"{'raise' if raises else 'lower'} horizon_days in policy.csv, so that more of these customers"
        f" {'leave' if nobody_churned else 'stay'} by {churn_definition}, or build again when later dates have matured;"
        " if it is the wrong definition of churn, set churn_definition"
    )


def dates_before(dates: Sequence[date], later: date | None, horizon_days: int) -> tuple[date, ...]:
    """Return the dates at least a horizon before ``later``, earliest first: their labels are known on it."""
    if later is None:
        return ()
    return tuple(sorted(day for day in dates if day <= later - timedelta(days=horizon_days)))


def check_values(examples: Examples, where: str) -> None:
    """Refuse infinite features and weights that are not positive.

    Raises
    ------
    BayesPilotError
        Naming the features, or the first weights.
    """
    infinite = [
        examples.schema.names[i]
        for i in examples.schema.numeric
        if pc.any(pc.is_inf(examples.table[examples.schema.names[i]].cast(pa.float64()))).as_py()
    ]
    if infinite:
        raise infinite_values(infinite, where)
    weight = examples.example_weight
    if not np.all(weight > 0):
        raise BayesPilotError(
            "example_weight is missing or not positive",
            where=where,
            values=weight[~(weight > 0)],
            next_step="check propensity in stg_retention_contacts: a weight is 1 / propensity of no action",
        )


def _too_few(
    dates: Sequence[date],
    horizon_days: int,
    next_step: str = "load more history: it gives more training dates",
) -> BayesPilotError:
    return BayesPilotError(
        "cannot train: too few matured training dates with customers without contact. Needed are three dates, to fit,"
        f" to calibrate and to judge, each {horizon_days} days or more after the one before;"
        f" there are {len(dates)}",
        where="training_examples",
        values=sorted(dates),
        next_step=next_step,
    )
