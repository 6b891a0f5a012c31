"""The log of what the programme earned: a month once final is kept, and a revision is a row of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]

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


def finalise_months(previous_rows: Iterable[Row], new_estimates: Iterable[Row]) -> list[dict[str, Any]]:
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
    latest: dict[tuple[Any, ...], Row] = {}
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
