"""The rows of ``int_policy_value``: three figures per finished month and for all months, added to a log.

In the log, a month once final is kept, and a revision is a row of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from models_ml.evaluation.intervals import Sequence, months_needed, verdict
from models_ml.evaluation.programme_value import (
    ESTIMANDS,
    UNIVERSAL_HOLDOUT,
    Enrolled,
    Episodes,
    Figure,
    Group,
    doubly_robust,
    pick_holdout,
    universal_holdout,
)

CENTS = 100.0
ALL_MONTHS = "all"

POLICY_VALUE_SCHEMA = pa.schema(
    [
        ("period", pa.string()),
        ("method", pa.string()),
        ("estimand", pa.string()),
        ("first_month", pa.date32()),
        ("last_month", pa.date32()),
        ("months", pa.int32()),
        ("assignment", pa.string()),
        ("customers", pa.int64()),
        ("episodes", pa.int64()),
        ("controls", pa.int64()),
        ("treated_leavers", pa.int64()),
        ("control_leavers", pa.int64()),
        ("contaminated_controls", pa.int64()),
        ("realised_value", pa.float64()),
        ("value_to_come", pa.float64()),
        ("value", pa.float64()),
        ("value_per_month", pa.float64()),
        ("value_per_unit", pa.float64()),
        ("standard_error", pa.float64()),
        ("value_low", pa.float64()),
        ("value_high", pa.float64()),
        ("value_low_every_look", pa.float64()),
        ("value_high_every_look", pa.float64()),
        ("is_distinguishable", pa.bool_()),
        ("verdict", pa.string()),
        ("months_needed", pa.int32()),
        ("reason", pa.string()),
        ("planned_information", pa.float64()),
        ("revision", pa.int32()),
        ("revision_reason", pa.string()),
    ]
)

ENROLLED = """
    select
        outcome_month, first_month, assignment, is_untouched, has_left, is_contaminated,
        left_this_month, realised_cents, to_come_cents, at_enrolment_cents,
        month_realised_cents, to_come_before_cents
    from ({enrolled})
    where outcome_month not in (select last_month from ({earlier}) where method = 'universal_holdout')
    order by outcome_month, customer_id
"""
EPISODES = """
    select
        outcome_month, customer_id, is_chosen, is_left_alone, propensity_no_action, has_left, is_contaminated,
        realised_cents / 100.0 as realised, to_come_cents / 100.0 as to_come,
        at_opening_cents / 100.0 as at_opening, predicted_left_alone
    from ({episodes})
    order by outcome_month, customer_id
"""
FINISHED = "select distinct outcome_month from ({rows}) order by outcome_month"

Row = dict[str, Any]
Months = dict[date, tuple[Row, Figure, Figure]]


KEY = ("method", "period", "last_month")
COMPARED = (
    "customers",
    "episodes",
    "controls",
    "treated_leavers",
    "control_leavers",
    "contaminated_controls",
    "realised_value",
    "value_to_come",
    "value",
    "standard_error",
)
HALF_A_CENT = 0.005


def policy_value_table(
    cursor: Any,  # noqa: ANN401 - DuckDB
    *,
    enrolled: str,
    episodes: str,
    earlier: str,
) -> pa.Table:
    """Return the rows to append to the log, `POLICY_VALUE_SCHEMA`; none where no further month has finished.

    Finished months of the log are not read again, so that a night costs the same however many there are.
    In a night in which a month has finished, the months of episodes before it are estimated once more: what is said
    differently then is added as a revision.

    Parameters
    ----------
    cursor : DuckDB cursor
    enrolled : str
        Select of one row per enrolled customer and finished month: customer_id, outcome_month, first_month (of the
        programme under this assignment), assignment, is_untouched, has_left, left_this_month, is_contaminated,
        and in whole cents, discounted to enrolment: realised_cents and month_realised_cents (margin less costs, to
        date and of the month), to_come_cents and to_come_before_cents (V at the month's end, 0 for customers who have
        left, and at its beginning), at_enrolment_cents.
    episodes : str
        Select of one row per matured episode: customer_id, outcome_month (of its opening), is_chosen, is_left_alone,
        propensity_no_action, has_left, is_contaminated, realised_cents, to_come_cents, at_opening_cents and
        predicted_left_alone (money). A month may be in it only once all its episodes have matured.
    earlier : str
        Select of the log so far, with the columns of `POLICY_VALUE_SCHEMA`.
    """
    log = cursor.sql(f"select * from ({earlier})").to_arrow_table().to_pylist()
    planned = first_plans(log)
    rows: list[Row] = []
    known = {row["last_month"] for row in log if row["method"] == UNIVERSAL_HOLDOUT}
    if set(_finished(cursor, enrolled)) - known:
        for month, (about, whole, alone) in read_enrolled(cursor, enrolled, earlier).items():
            rows += _pair(month, about, whole, alone, planned)
    known = {row["last_month"] for row in log if row["method"] != UNIVERSAL_HOLDOUT}
    missing = [month for month in _finished(cursor, episodes) if month not in known]
    if missing:
        rows += episode_rows(read_episodes(cursor, episodes), missing, planned)
    rows.sort(key=lambda row: (row["last_month"], row["period"] == ALL_MONTHS, row["method"]))
    return pa.Table.from_pylist(finalise_months(log, rows), schema=POLICY_VALUE_SCHEMA)


def _finished(cursor: Any, select: str) -> list[date]:  # noqa: ANN401 - DuckDB
    return [row[0] for row in cursor.sql(FINISHED.format(rows=select)).fetchall()]


def first_plans(log: list[Row]) -> dict[tuple[str, str], float]:
    """Return I₁₂ of each sequence, by method and assignment, where it has been fixed."""
    plans: dict[tuple[str, str], float] = {}
    for row in sorted(log, key=lambda row: (row["last_month"], row["revision"])):
        if row["period"] == ALL_MONTHS and row["planned_information"] is not None:
            plans.setdefault((row["method"], row["assignment"]), row["planned_information"])
    return plans


def read_enrolled(cursor: Any, enrolled: str, earlier: str) -> Months:  # noqa: ANN401 - DuckDB
    """Return the universal contrast of each month that the log does not hold, so far and of the month alone."""
    groups: dict[date, tuple[Row, list[Group]]] = {}
    reader = cursor.sql(ENROLLED.format(enrolled=enrolled, earlier=earlier)).to_arrow_reader(1 << 17)
    for batch in reader:
        for month, part in _by_month(pa.Table.from_batches([batch])):
            found = [*_so_far(part).groups(), *_month_alone(part).groups()]
            about = {"first_month": part["first_month"][0].item(), "assignment": str(part["assignment"][0])}
            if month in groups:
                found = [one.merge(other) for one, other in zip(groups[month][1], found, strict=True)]
            groups[month] = about, found
    return {
        month: (about, universal_holdout(*found[:2]), universal_holdout(*found[2:]))
        for month, (about, found) in groups.items()
    }


def read_episodes(cursor: Any, episodes: str) -> list[tuple[date, Episodes]]:  # noqa: ANN401 - DuckDB
    """Return the episodes of each month, earliest first."""
    names = [field.name for field in fields(Episodes)]
    table = cursor.sql(EPISODES.format(episodes=episodes)).to_arrow_table()
    return [(month, Episodes(**{name: part[name] for name in names})) for month, part in _by_month(table)]


def episode_rows(
    by_month: list[tuple[date, Episodes]], missing: list[date], planned: dict[tuple[str, str], float]
) -> Iterator[Row]:
    """Yield the rows of each month, and those of all months up to each missing one."""
    for position, (month, episodes) in enumerate(by_month):
        about = {"first_month": by_month[0][0], "assignment": ""}
        so_far = _joined([part for _, part in by_month[: position + 1]]) if month in missing else None
        for measure in (pick_holdout, doubly_robust):
            yield _row(month, about | {"first_month": month}, measure(episodes))
            if so_far is not None:
                yield _total(month, about, measure(so_far), planned)


def _pair(
    month: date, about: Row, whole: Figure, alone: Figure, planned: dict[tuple[str, str], float]
) -> Iterator[Row]:
    yield _row(month, about | {"first_month": month}, alone)
    yield _total(month, about, whole, planned)


def _total(month: date, about: Row, figure: Figure, planned: dict[tuple[str, str], float]) -> Row:
    """Return a row of all months so far, with its verdict; the first with enough evidence fixes the plan."""
    key, first = (figure.name, about["assignment"]), about["first_month"]
    months = (month.year - first.year) * 12 + month.month - first.month + 1  # also those without an episode
    look = figure.look(months, planned.get(key))
    if look is not None and figure.evidence.is_enough:
        planned.setdefault(key, look.planned)
    row = _row(month, about, figure, look) | {"period": ALL_MONTHS, "months": months}
    if row["value"] is not None:
        row["value_per_month"] = round(row["value"] / months, 2)
    return row | {
        "planned_information": planned.get(key),
        "verdict": verdict(look, figure.evidence),
        "months_needed": months_needed(look, figure.evidence, months),
    }


def _row(month: date, about: Row, figure: Figure, look: Sequence | None = None) -> Row:
    evidence = figure.evidence
    row = about | {
        "period": month.strftime("%Y-%m"),
        "method": figure.name,
        "estimand": ESTIMANDS[figure.name],
        "last_month": month,
        "months": 1,
        "customers": figure.customers,
        "episodes": None if figure.name == UNIVERSAL_HOLDOUT else figure.units,
        "controls": evidence.controls,
        "treated_leavers": evidence.treated_leavers,
        "control_leavers": evidence.control_leavers,
        "contaminated_controls": evidence.contaminated_controls,
        "reason": figure.reason or None,
        "value": None,
    }
    if figure.estimate is None:
        return row
    total = figure.estimate.times(figure.units)
    row |= {"value": round(total.value, 2), "value_per_month": round(total.value, 2)}
    row["realised_value"] = round((figure.realised or 0.0) * figure.units, 2)
    row["value_to_come"] = round(row["value"] - row["realised_value"], 2)
    row |= {
        "value_per_unit": round(figure.estimate.value, 9),
        "standard_error": round(total.standard_error, 6),  # finer than money: never rounded to 0
        "value_low": round(total.low, 2),
        "value_high": round(total.high, 2),
    }
    if look is not None and evidence.is_enough:
        row |= {
            "value_low_every_look": round(look.low * figure.units, 2),
            "value_high_every_look": round(look.high * figure.units, 2),
            "is_distinguishable": look.is_distinguishable,
        }
    return row


def _by_month(table: pa.Table) -> Iterator[tuple[date, Mapping[str, np.ndarray]]]:
    """Yield the columns of each month as arrays; the rows stand in order of months."""
    columns = {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}
    months = columns["outcome_month"]
    starts = np.flatnonzero(np.r_[True, months[1:] != months[:-1]]) if len(months) else np.zeros(0, int)
    for start, end in zip(starts, [*starts[1:], len(months)], strict=True):
        part = {name: values[start:end] for name, values in columns.items()}
        yield (
            table.column("outcome_month")[int(start)].as_py(),
            {
                name: values.astype(bool)
                if values.dtype == object and name.startswith(("is_", "has_", "left_"))
                else values
                for name, values in part.items()
            },
        )


def _so_far(part: Mapping[str, np.ndarray]) -> Enrolled:
    return _enrolled(part, "realised_cents", "at_enrolment_cents", "has_left")


def _month_alone(part: Mapping[str, np.ndarray]) -> Enrolled:
    """Return the month alone: V at its beginning takes the place of V at enrolment."""
    return _enrolled(part, "month_realised_cents", "to_come_before_cents", "left_this_month")


def _enrolled(part: Mapping[str, np.ndarray], realised: str, before: str, has_left: str) -> Enrolled:
    return Enrolled(
        is_untouched=part["is_untouched"],
        realised=part[realised] / CENTS,
        to_come=part["to_come_cents"] / CENTS,
        at_enrolment=part[before] / CENTS,
        has_left=part[has_left],
        is_contaminated=part["is_contaminated"],
    )


def _joined(parts: list[Episodes]) -> Episodes:
    return Episodes(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Episodes)
        }
    )


def finalise_months(
    previous_rows: Iterable[Mapping[str, Any]], new_estimates: Iterable[Mapping[str, Any]]
) -> list[Row]:
    """Return the rows to append to the log: estimates that it does not hold yet, and revisions.

    A row of the log is never changed. An estimate that says the same as the latest row of its ``KEY`` adds nothing; one
    that differs becomes the next revision, and its reason names what has changed.

    Parameters
    ----------
    previous_rows : iterable of mappings
        The log so far, in any order: ``KEY``, ``COMPARED``, and ``revision``, 0 for the first of its key.
    new_estimates : iterable of mappings
        ``KEY``, ``COMPARED`` and whatever else a row holds; at most one per key.

    Returns
    -------
    list of dict
        In the order of ``new_estimates``, with ``revision`` and ``revision_reason`` (None where it is the first).

    Examples
    --------
    >>> first = {"method": "pick_holdout", "period": "2026-01", "last_month": "2026-01-01", "controls": 40}
    >>> log = finalise_months([], [first])
    >>> log[0]["revision"], finalise_months(log, [first])
    (0, [])
    >>> finalise_months(log, [first | {"controls": 41}])[0]["revision_reason"]
    'the data of a finished month have changed: controls 40, now 41'
    """
    latest: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for row in previous_rows:
        key = tuple(row[name] for name in KEY)
        if key not in latest or row["revision"] > latest[key]["revision"]:
            latest[key] = row
    added = []
    for row in new_estimates:
        before = latest.get(tuple(row[name] for name in KEY))
        if before is None:
            added.append(dict(row) | {"revision": 0, "revision_reason": None})
            continue
        changes = [name for name in COMPARED if _differs(before.get(name), row.get(name))]
        if changes:
            words = ", ".join(
                f"{name} {_shown(before.get(name))}, now {_shown(row.get(name))}" for name in changes
            )
            reason = f"the data of a finished month have changed: {words}"
            added.append(dict(row) | {"revision": before["revision"] + 1, "revision_reason": reason})
    return added


def _differs(before: Any, now: Any) -> bool:  # noqa: ANN401 - a value of a row
    if before is None or now is None:
        return before is not now
    return bool(abs(before - now) > HALF_A_CENT)


def _shown(value: Any) -> str:  # noqa: ANN401 - a value of a row
    return "none" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
