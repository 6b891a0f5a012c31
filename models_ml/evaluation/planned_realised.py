"""Planned against realised: what contacts were expected to bring, and what the pick-holdouts say they brought.

Of the episodes that the policy opened, by offer and in all: planned is the mean of what decisions expected of those
contacted; realised is the mean outcome of those contacted less that of those left alone by the draw of their episode
(:func:`models_ml.evaluation.programme_value.pick_holdout`), both times those contacted. The interval is for one look.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa

from models_ml.evaluation.programme_value import Episodes, pick_holdout

ALL_OFFERS = "all"
CENTS, DIGITS = 2, 4

PLANNED_REALISED_SCHEMA = pa.schema(
    [
        ("offer", pa.string()),
        ("contacts", pa.int64()),
        ("controls", pa.int64()),
        ("planned_value", pa.float64()),
        ("realised_value", pa.float64()),
        ("realised_low", pa.float64()),
        ("realised_high", pa.float64()),
        ("realised_over_planned", pa.float64()),
        ("ratio_low", pa.float64()),
        ("ratio_high", pa.float64()),
        ("reason", pa.string()),
        ("last_month", pa.date32()),
    ]
)
NEWEST = "select max(outcome_month) from ({episodes}) where is_chosen"
EPISODES = """
    select
        outcome_month, customer_id, offer, expected_value, is_chosen, is_left_alone, propensity_no_action, has_left,
        is_contaminated, realised_cents / 100.0 as realised, to_come_cents / 100.0 as to_come,
        at_opening_cents / 100.0 as at_opening, predicted_left_alone
    from ({episodes})
    where is_chosen
    order by outcome_month, customer_id
"""


@dataclass(frozen=True)
class PlannedRealised:
    """Planned and realised value of ``contacts`` contacts of one offer, money; None where ``reason`` says why."""

    contacts: int
    controls: int
    planned: float
    realised: float | None
    low: float | None
    high: float | None
    reason: str

    def over_planned(self, value: float | None) -> float | None:
        """Return a value as a multiple of the planned one; None where nothing above 0 was planned.

        Examples
        --------
        >>> PlannedRealised(2, 2, 10.0, 5.0, -5.0, 15.0, "").over_planned(5.0)
        0.5
        """
        return None if value is None or self.planned <= 0 else value / self.planned


def planned_realised(episodes: Episodes, expected_value: np.ndarray) -> PlannedRealised:
    """Compare what was expected of contacts with what they brought.

    Parameters
    ----------
    episodes : Episodes
        Matured ones that the policy opened.
    expected_value : ndarray of shape (n,)
        Money, net of cost, at the decision; not a number where nothing was done.

    Examples
    --------
    Two customers were contacted at 3 expected each, and stay; of two left alone one leaves, worth 20.

    >>> episodes = Episodes(
    ...     customer_id=np.array(["a", "b", "c", "d"]),
    ...     is_chosen=np.ones(4, dtype=bool),
    ...     is_left_alone=np.array([False, False, True, True]),
    ...     propensity_no_action=np.full(4, 0.5),
    ...     realised=np.array([-1.0, -1.0, 0.0, 0.0]),
    ...     to_come=np.array([20.0, 20.0, 20.0, 0.0]),
    ...     at_opening=np.full(4, 20.0),
    ...     predicted_left_alone=np.zeros(4),
    ...     has_left=np.array([False, False, False, True]),
    ...     is_contaminated=np.zeros(4, dtype=bool),
    ... )
    >>> found = planned_realised(episodes, np.array([3.0, 3.0, np.nan, np.nan]))
    >>> found.contacts, found.controls, found.planned, round(found.realised, 9)  # 2 · (−1 + 20 / 2)
    (2, 2, 6.0, 18.0)
    """
    contacted = ~episodes.is_left_alone
    contacts = int(contacted.sum())
    planned = math.fsum(expected_value[contacted].tolist())
    figure = pick_holdout(episodes)
    value = figure.estimate.times(contacts) if figure.estimate is not None and contacts else None
    return PlannedRealised(
        contacts,
        int(episodes.is_left_alone.sum()),
        planned,
        None if value is None else value.value,
        None if value is None else value.low,
        None if value is None else value.high,
        figure.reason,
    )


def planned_realised_table(cursor: Any, *, episodes: str, earlier: str) -> pa.Table:  # noqa: ANN401 - DuckDB
    """Return a row per offer and one for all, `PLANNED_REALISED_SCHEMA`; none before an episode has matured.

    Until a further month has finished the earlier rows are returned: a night reads no more with every month behind it.

    Parameters
    ----------
    cursor : DuckDB cursor
    episodes : str
        Select of one row per matured episode, as `policy_value_table` reads them, with ``offer`` and
        ``expected_value``.
    earlier : str
        Select of the rows that the last run returned; empty where all is to be computed anew.
    """
    [(newest,)] = cursor.sql(NEWEST.format(episodes=episodes)).fetchall()
    kept = cursor.sql(f"select * from ({earlier})").to_arrow_table()
    if newest is not None and set(kept["last_month"].to_pylist()) == {newest}:
        return kept.select(PLANNED_REALISED_SCHEMA.names).cast(PLANNED_REALISED_SCHEMA)
    table = cursor.sql(EPISODES.format(episodes=episodes)).to_arrow_table()
    if not table.num_rows:
        return PLANNED_REALISED_SCHEMA.empty_table()
    columns = {name: table[name].to_numpy() for name in table.column_names}
    every = Episodes(**{field.name: columns[field.name] for field in fields(Episodes)})
    expected = columns["expected_value"].astype(np.float64)
    rows = []
    for offer in [*sorted(set(columns["offer"])), ALL_OFFERS]:
        own = np.ones(table.num_rows, dtype=bool) if offer == ALL_OFFERS else columns["offer"] == offer
        found = planned_realised(every.where(own), expected[own])
        rows.append(_row(offer, found) | {"last_month": newest})
    return pa.Table.from_pylist(rows, schema=PLANNED_REALISED_SCHEMA)


def _row(offer: str, found: PlannedRealised) -> dict[str, Any]:
    def rounded(value: float | None, digits: int) -> float | None:
        return None if value is None else round(value, digits)

    return {
        "offer": offer,
        "contacts": found.contacts,
        "controls": found.controls,
        "planned_value": round(found.planned, CENTS),
        "realised_value": rounded(found.realised, CENTS),
        "realised_low": rounded(found.low, CENTS),
        "realised_high": rounded(found.high, CENTS),
        "realised_over_planned": rounded(found.over_planned(found.realised), DIGITS),
        "ratio_low": rounded(found.over_planned(found.low), DIGITS),
        "ratio_high": rounded(found.over_planned(found.high), DIGITS),
        "reason": found.reason or None,
    }
