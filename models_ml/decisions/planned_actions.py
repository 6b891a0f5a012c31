"""The table ``int_planned_actions``: small tables read whole, customers streamed through the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models_ml.decisions.decide import (
    DIGITS,
    REFERENCE_COLUMNS,
    Decisions,
    ValuedBatch,
    decide,
    numbers,
    value_batch,
    value_customers,
)
from models_ml.decisions.limits import Limits, money, nearest_cents, read_limits
from models_ml.decisions.policy import DecisionInputs, read_decision_inputs
from models_ml.decisions.randomisation import ARMS, SUPPRESSED
from models_ml.decisions.retention_curves import read_retention_curves
from models_ml.errors import BayesPilotError

BATCH_ROWS = 65_536  # larger batches gain nothing, smaller ones pay per call

PLANNED_ACTIONS_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("as_of_date", pa.date32()),
        ("planned_action", pa.string()),
        ("action", pa.string()),
        ("channel", pa.string()),
        ("arm", pa.string()),
        ("propensity", pa.float64()),
        ("propensity_no_action", pa.float64()),
        ("churn_probability", pa.float64()),
        ("customer_value", pa.float64()),
        ("relative_risk", pa.float64()),
        ("effect_source", pa.string()),
        ("planned_cost", pa.float64()),
        ("planned_value", pa.float64()),
        ("suppression_reason", pa.string()),
        ("has_worthwhile_offer", pa.bool_()),
        ("plan_value_bound", pa.float64()),
        ("plan_gap", pa.float64()),
        ("budget_price", pa.float64()),
        ("limit_prices", pa.string()),
        *((column, pa.float64()) for column in REFERENCE_COLUMNS),
        ("policy_version", pa.string()),
    ]
)


@dataclass(frozen=True)
class PlanTables:
    """Selects that a plan reads; each field holds SQL yielding the table of its name."""

    int_decision_candidates: str
    int_policy_parameters: str
    int_offers: str
    offer_effects: str
    offer_effect_covariances: str
    int_measured_acceptance: str
    retention_curves: str
    int_month_limits: str


def plan_actions(
    read_batches: Callable[[], Iterable[pa.RecordBatch]],
    inputs: DecisionInputs,
    limits: Limits,
    learning: Limits,
) -> pa.RecordBatchReader:
    """Decide for all customers and stream one row each.

    Parameters
    ----------
    read_batches : callable
        Returns the rows of int_decision_candidates in order of customer_id. It is called twice: once to
        decide, which keeps only compact arrays, and once more while the result is read.
    inputs : DecisionInputs
        Policy, offers and their effects.
    limits, learning : Limits
        What is available, and how much of it a trial may use, money in the policy's currency.

    Returns
    -------
    pyarrow.RecordBatchReader
        ``PLANNED_ACTIONS_SCHEMA``, in the order of the rows; empty where no row comes. ``plan_value_bound``
        and ``plan_gap`` are the certificate of the steered value (touch prices off) of what the policy chose,
        before pick-holdouts are withheld and without the trial.
    """
    customers = value_customers(read_batches(), inputs)
    if not customers.number:
        return pa.RecordBatchReader.from_batches(PLANNED_ACTIONS_SCHEMA, [])
    decisions = decide(customers, inputs, limits, learning)
    return pa.RecordBatchReader.from_batches(
        PLANNED_ACTIONS_SCHEMA, planned_batches(read_batches(), inputs, decisions)
    )


def planned_actions_reader(cursor: Any, tables: PlanTables) -> pa.RecordBatchReader:  # noqa: ANN401 - a DuckDB cursor
    """Plan for every customer at risk on the run's date; empty where there is none."""
    if not cursor.execute(f"select 1 from ({tables.int_decision_candidates}) limit 1").fetchall():
        return pa.RecordBatchReader.from_batches(PLANNED_ACTIONS_SCHEMA, [])
    inputs = read_inputs(cursor, tables)
    month = cursor.sql(tables.int_month_limits).to_arrow_table()
    limits = read_limits(month, inputs.offers)
    learning = read_limits(month, inputs.offers, "available_for_trials")
    return plan_actions(lambda: read_customers(cursor, tables), inputs, limits, learning)


def read_inputs(cursor: Any, tables: PlanTables) -> DecisionInputs:  # noqa: ANN401 - a DuckDB cursor
    """Read policy, offers, their effects and how often they are accepted."""
    policy, offers, effects, covariances, acceptance, curves = (
        cursor.sql(select).to_arrow_table()
        for select in (
            tables.int_policy_parameters,
            tables.int_offers,
            tables.offer_effects,
            tables.offer_effect_covariances,
            tables.int_measured_acceptance,
            tables.retention_curves,
        )
    )
    return read_decision_inputs(
        policy, offers, effects, covariances, read_retention_curves(curves), acceptance
    )


def read_customers(cursor: Any, tables: PlanTables) -> Iterable[pa.RecordBatch]:  # noqa: ANN401 - a DuckDB cursor
    """Stream the customers to decide on, in order of customer_id."""
    ordered = f"select * from ({tables.int_decision_candidates}) order by customer_id"
    return cursor.sql(ordered).to_arrow_reader(BATCH_ROWS)


def planned_batches(
    batches: Iterable[pa.RecordBatch], inputs: DecisionInputs, decisions: Decisions
) -> Iterator[pa.RecordBatch]:
    """Join the customers, read once more in the same order, with their decisions.

    Raises
    ------
    BayesPilotError
        When their number is not that of the decisions.
    """
    start = 0
    for batch in batches:
        if batch.num_rows:
            rows = slice(start, start + batch.num_rows)
            start = rows.stop
            if start <= len(decisions.choice):
                yield planned_batch(batch, inputs, decisions, rows)
    if start != len(decisions.choice):
        raise BayesPilotError(
            f"{len(decisions.choice)} customers were decided, but {start} were read afterwards",
            where="int_decision_candidates",
            next_step="dbt build -s int_decision_candidates+",
        )


def planned_batch(
    batch: pa.RecordBatch, inputs: DecisionInputs, decisions: Decisions, rows: slice
) -> pa.RecordBatch:
    """Return the rows of one batch; ``rows`` are the positions of its customers among all.

    Money is in whole cents and probabilities have 9 digits. The relative risk is that of the planned offer,
    1 where there is none; ``effect_source`` is 'measured' where that offer's intercept and its effect on each signal
    that the customer shows are measured. ``has_worthwhile_offer`` says whether an allowed
    offer is worth more than the touch price, whatever the limits.
    """
    columns = decided_columns(batch, value_batch(batch, inputs), inputs, decisions, rows)
    for name, value in decisions.constants.items():
        columns[name] = pa.repeat(pa.scalar(value), batch.num_rows)
    return pa.record_batch(
        [columns[name] for name in PLANNED_ACTIONS_SCHEMA.names], schema=PLANNED_ACTIONS_SCHEMA
    )


def decided_columns(
    batch: pa.RecordBatch, valued: ValuedBatch, inputs: DecisionInputs, decisions: Decisions, rows: slice
) -> dict[str, pa.Array]:
    """Return the columns of `planned_batch` that differ by customer, where the customers have been valued already."""
    choice, arms = decisions.choice[rows], decisions.arms[rows]
    acts = np.where(decisions.is_done[rows], choice, -1)
    planned = choice >= 0
    risk = np.where(planned, valued.relative_risk[np.arange(len(choice)), choice], 1.0)
    cost = np.where(planned, valued.cost_cents[np.arange(len(choice)), choice], 0.0)
    worthwhile = valued.allowed & (valued.value_cents > nearest_cents(inputs.policy.touch_price))
    reasons = batch.column("suppression_reason").cast(pa.string()).fill_null("below_minimum_value")
    suppressed = pa.array(arms == SUPPRESSED)
    names = ["no_action", *(offer.offer for offer in inputs.offers)]
    return {
        "customer_id": batch.column("customer_id").cast(pa.string()),
        "as_of_date": batch.column("as_of_date").cast(pa.date32()),
        "planned_action": _named(names, choice + 1),
        "action": _named(names, acts + 1),
        "channel": _named([None, *(offer.channel for offer in inputs.offers)], acts + 1),
        "arm": _named(ARMS, arms),
        "propensity": pa.array(np.round(decisions.propensity[rows], DIGITS)),
        "propensity_no_action": pa.array(np.round(decisions.propensity_no_action[rows], DIGITS)),
        "churn_probability": pa.array(np.round(valued.churn_probability, DIGITS)),
        "customer_value": pa.array(money(valued.customer_value_cents)),
        "relative_risk": pa.array(np.round(risk, DIGITS)),
        "effect_source": _named(
            ["assumed", "measured"], _is_measured(batch, inputs, choice).astype(np.int64)
        ),
        "planned_cost": pa.array(money(cost)),
        "planned_value": pa.array(money(decisions.value_cents[rows])),
        "has_worthwhile_offer": pa.array(worthwhile.any(axis=1)),
        "suppression_reason": pc.if_else(suppressed, reasons, pa.scalar(None, pa.string())),
    }


def _is_measured(
    batch: pa.RecordBatch, inputs: DecisionInputs, choice: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """Tell for which rows everything that the planned offer does to the customer is measured, shape (n,)."""
    shows = [numbers(batch, f"signal_{name}") > 0 for name in inputs.effects.signals]
    matters = np.column_stack([np.ones(len(choice), dtype=bool), *shows])
    return np.asarray((choice >= 0) & (inputs.effects.is_measured[choice] | ~matters).all(axis=1))


def _named(names: Sequence[str | None], positions: NDArray[np.integer]) -> pa.Array:
    return _texts(tuple(names)).take(pa.array(positions.astype(np.int64)))


@lru_cache(maxsize=64)  # few lists of names: those of the offers
def _texts(names: tuple[str | None, ...]) -> pa.Array:
    return pa.array(names, pa.string())
