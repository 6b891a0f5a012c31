"""The table ``int_policy_value``: value of the policy per month and over all months, by three methods.

All three answer the same question: what has the policy earned, in money, with the customers it may act on,
against contacting nobody and had it withheld nothing? The reward of a customer-month is minus the value of a
customer who left, minus what was spent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from models_ml.evaluation.contrasts import contrast_of_totals, months_needed, pick_holdout_contrast, verdict
from models_ml.evaluation.intervals import Estimate
from models_ml.evaluation.policy_value import policy_value

CENTS = 100.0
CERTAIN = 1.0 - 1e-9

POLICY_VALUE_SCHEMA = pa.schema(
    [
        ("period", pa.string()),
        ("first_month", pa.date32()),
        ("last_month", pa.date32()),
        ("months", pa.int32()),
        ("method", pa.string()),
        ("customers", pa.int64()),
        ("left_alone", pa.int64()),
        ("value", pa.float64()),
        ("value_per_customer", pa.float64()),
        ("standard_error", pa.float64()),
        ("value_low", pa.float64()),
        ("value_high", pa.float64()),
        ("is_distinguishable", pa.bool_()),
        ("months_needed", pa.int32()),
        ("verdict", pa.string()),
    ]
)

CHOSEN = """
    select
        outcome_month, customer_id, action <> 'no_action' as is_contacted, propensity,
        date_diff('day', date '1970-01-01', as_of_date) as decided_on,
        date_diff('day', date '1970-01-01', horizon_ends_on) as ends_on,
        -(case when has_churned then customer_value else 0.0 end) - realised_cost as reward,
        realised_cost,
        -churn_probability * customer_value as predicted_nothing,
        -churn_probability * relative_risk * customer_value - expected_cost as predicted_planned
    from ({action_outcomes})
    where arm in ('policy', 'pick_holdout')
    order by outcome_month, customer_id
"""
TOTALS = "select * from ({totals}) order by (period = 'all'), period, is_holdout, total_cents"


@dataclass(frozen=True)
class Chosen:
    """Customer-months that the policy chose: every array has shape (n,), money in one currency.

    Decided and ending on day numbers; ``reward`` is minus what was lost and ``realised_cost``.
    """

    month: np.ndarray
    customer_id: np.ndarray
    is_contacted: np.ndarray
    propensity: np.ndarray
    decided_on: np.ndarray
    ends_on: np.ndarray
    reward: np.ndarray
    realised_cost: np.ndarray
    predicted_nothing: np.ndarray
    predicted_planned: np.ndarray

    def where(self, rows: np.ndarray) -> Chosen:
        """Return the rows of a mask."""
        return Chosen(**{name: values[rows] for name, values in vars(self).items()})

    def without_overlaps(self) -> Chosen:
        """Return the rows of each customer whose horizon no earlier returned row of the customer covers.

        Whoever is chosen again within a horizon is the same customer, lost or kept once; who was withheld is not
        chosen again for as long, so both groups are thinned alike. What the contacts left out have cost is added to
        the row that covers them.
        """
        order = np.lexsort((self.decided_on, self.customer_id))
        covering = np.empty(len(order), dtype=np.int64)
        last = -1
        for row in order.tolist():
            is_new = last < 0 or self.customer_id[row] != self.customer_id[last]
            if is_new or self.decided_on[row] >= self.ends_on[last]:
                last = row
            covering[row] = last
        kept = covering == np.arange(len(order))
        added = np.bincount(covering[~kept], self.realised_cost[~kept], len(order))
        return replace(self, reward=self.reward - added).where(kept)

    @property
    def months(self) -> int:
        """How many months the rows come from."""
        return len(np.unique(self.month))


@dataclass(frozen=True)
class Measured:
    """An estimate per customer, or why there is none; ``left_alone`` counts the customers it stands against."""

    customers: int
    left_alone: int
    months: int
    estimate: Estimate | None
    reason: str


def policy_value_table(cursor: Any, *, action_outcomes: str, totals: str) -> pa.Table:  # noqa: ANN401 - DuckDB
    """Return `POLICY_VALUE_SCHEMA`, three rows a period; empty where nothing has matured.

    Parameters
    ----------
    cursor : DuckDB cursor
    action_outcomes, totals : str
        Selects of action_outcomes and int_policy_value_totals.
    """
    chosen = _read_chosen(cursor.sql(CHOSEN.format(action_outcomes=action_outcomes)).to_arrow_table())
    grouped = cursor.sql(TOTALS.format(totals=totals)).to_arrow_table()
    periods = grouped.column("period").to_numpy(zero_copy_only=False)
    months = np.unique(grouped.column("first_month").to_numpy()[periods != "all"])
    rows: list[dict[str, Any]] = []
    for period in dict.fromkeys(periods.tolist()):
        members = grouped.filter(pa.array(periods == period))
        first, last = (members.column(name)[0].as_py() for name in ("first_month", "last_month"))
        within = (months >= np.datetime64(first)) & (months <= np.datetime64(last))
        planned = chosen.where((chosen.month >= np.datetime64(first)) & (chosen.month <= np.datetime64(last)))
        if period == "all":
            planned = planned.without_overlaps()
        about = {"period": period, "first_month": first, "last_month": last}
        rows.append(about | _row("universal_holdout", universal(members, int(within.sum()))))
        rows.append(about | _row("pick_holdout", measure_chosen(planned, pick_holdout)))
        rows.append(about | _row("doubly_robust", measure_chosen(planned, doubly_robust)))
    return pa.Table.from_pylist(rows, schema=POLICY_VALUE_SCHEMA)


def universal(totals: pa.Table, months: int) -> Measured:
    """Compare the programme with the universal holdout, scaled to the customers of the programme."""
    is_holdout = totals.column("is_holdout").to_numpy(zero_copy_only=False).astype(bool)
    customers = totals.column("customers").to_numpy().astype(float)
    held, acted = int(customers[is_holdout].sum()), int(customers[~is_holdout].sum())
    if min(held, acted) < 2:
        group = "in the universal holdout" if held < 2 else "outside the universal holdout"
        return Measured(acted, held, months, None, f"fewer than two customers {group}")
    estimate = contrast_of_totals(totals.column("total_cents").to_numpy() / CENTS, is_holdout, customers)
    return Measured(acted, held, months, estimate, "")


def measure_chosen(planned: Chosen, measure: Callable[[Chosen], Estimate]) -> Measured:
    """Measure among chosen customers; months in which nobody could be left alone say nothing."""
    drawn = planned.where(planned.propensity < CERTAIN)
    count, held = len(drawn.reward), int((~drawn.is_contacted).sum())
    if not len(planned.reward):
        return Measured(0, 0, 0, None, "nobody was chosen")
    if not count:
        reason = "all chosen were to be contacted: pick_holdout_share is 0"
        return Measured(len(planned.reward), 0, planned.months, None, reason)
    if held in (0, count) or len(np.unique(drawn.customer_id)) < 2:
        reason = "none of the chosen was " + ("contacted" if held else "left alone")
        return Measured(count, held, drawn.months, None, reason)
    return Measured(count, held, drawn.months, measure(drawn), "")


def pick_holdout(drawn: Chosen) -> Estimate:
    """Difference of weighted means among the chosen."""
    return pick_holdout_contrast(
        drawn.reward, drawn.is_contacted, drawn.propensity, customer=drawn.customer_id
    )


def doubly_robust(drawn: Chosen) -> Estimate:
    """Doubly-robust value of contacting the chosen, with the rewards that the decision expected."""
    action = drawn.is_contacted.astype(np.int64)
    return policy_value(
        action,
        drawn.propensity,
        drawn.reward,
        np.ones_like(action),
        reference=0,
        predicted_reward=np.column_stack([drawn.predicted_nothing, drawn.predicted_planned]),
        cluster=drawn.customer_id,
        method="dr",
    )


def _row(method: str, measured: Measured) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(measured, name) for name in ("customers", "left_alone", "months")}
    row |= {"method": method}
    if measured.estimate is None:
        return row | {"verdict": f"not measurable: {measured.reason}"}
    total = measured.estimate.times(measured.customers)
    return row | {
        "value": round(total.value, 2),
        "value_per_customer": round(measured.estimate.value, 9),
        "standard_error": round(total.standard_error, 2),
        "value_low": round(total.low, 2),
        "value_high": round(total.high, 2),
        "is_distinguishable": total.is_distinguishable,
        "months_needed": months_needed(total, measured.months),
        "verdict": verdict(total, measured.months),
    }


def _read_chosen(table: pa.Table) -> Chosen:
    names = [name for name in table.column_names if name != "outcome_month"]
    columns = {name: table.column(name).to_numpy(zero_copy_only=False) for name in names}
    columns["is_contacted"] = columns["is_contacted"].astype(bool)
    return Chosen(month=table.column("outcome_month").to_numpy(), **columns)
