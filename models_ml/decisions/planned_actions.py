"""The table ``int_planned_actions``: small tables from the warehouse, customers streamed through the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from models_ml.decisions.candidates import Terms, collect
from models_ml.decisions.limits import Limits, read_limits
from models_ml.decisions.parameters import (
    Offer,
    OfferEffects,
    Policy,
    read_offer_effects,
    read_offers,
    read_policy,
)
from models_ml.decisions.plan import decide
from models_ml.decisions.planned_rows import PLANNED_ACTIONS_SCHEMA, planned_batches

BATCH_ROWS = 65_536  # larger batches gain nothing, smaller ones pay per call


@dataclass(frozen=True)
class PlanTables:
    """Selects that a plan reads; each field holds SQL yielding the table of its name."""

    int_decision_candidates: str
    int_policy_parameters: str
    int_offers: str
    offer_effects: str
    int_month_limits: str


def plan_actions(
    read_batches: Callable[[], Iterable[pa.RecordBatch]],
    *,
    policy: Policy,
    offers: tuple[Offer, ...],
    effects: OfferEffects,
    limits: Limits,
) -> pa.RecordBatchReader:
    """Decide for all customers and stream one row each.

    Parameters
    ----------
    read_batches : callable
        Returns the rows of int_decision_candidates in order of customer_id. It is called twice: once to
        decide, which keeps only compact arrays, and once more while the result is read.
    policy, offers, effects : Policy, tuple of Offer, OfferEffects
    limits : Limits
        What is available, money in the policy's currency.

    Returns
    -------
    pyarrow.RecordBatchReader
        ``PLANNED_ACTIONS_SCHEMA``, in the order of the rows; empty where no row comes. ``plan_value_bound``
        and ``plan_gap`` are the certificate of the steered value (touch prices off) of what the policy chose,
        before pick-holdouts are withheld and without the trial.
    """
    terms = Terms(policy, offers, effects)
    candidates = collect(read_batches(), terms)
    if not candidates.customers:
        return pa.RecordBatchReader.from_batches(PLANNED_ACTIONS_SCHEMA, [])
    decided = decide(candidates, terms, limits)
    return pa.RecordBatchReader.from_batches(
        PLANNED_ACTIONS_SCHEMA, planned_batches(read_batches(), terms, decided)
    )


def planned_actions_reader(cursor: Any, tables: PlanTables) -> pa.RecordBatchReader:  # noqa: ANN401 - a DuckDB cursor
    """Plan for every customer at risk on the run's date; empty where there is none."""
    if not cursor.execute(f"select 1 from ({tables.int_decision_candidates}) limit 1").fetchall():
        return pa.RecordBatchReader.from_batches(PLANNED_ACTIONS_SCHEMA, [])
    terms = read_terms(cursor, tables)
    return plan_actions(
        lambda: read_candidates(cursor, tables),
        policy=terms.policy,
        offers=terms.offers,
        effects=terms.effects,
        limits=read_limits(cursor.sql(tables.int_month_limits).to_arrow_table(), terms.offers),
    )


def read_terms(cursor: Any, tables: PlanTables) -> Terms:  # noqa: ANN401 - a DuckDB cursor
    """Read policy, offers and their effects."""
    offers = read_offers(cursor.sql(tables.int_offers).to_arrow_table())
    return Terms(
        read_policy(cursor.sql(tables.int_policy_parameters).to_arrow_table()),
        offers,
        read_offer_effects(cursor.sql(tables.offer_effects).to_arrow_table(), offers),
    )


def read_candidates(cursor: Any, tables: PlanTables) -> Iterable[pa.RecordBatch]:  # noqa: ANN401 - a DuckDB cursor
    """Stream the customers that are to be decided in order of customer_id."""
    ordered = f"select * from ({tables.int_decision_candidates}) order by customer_id"
    return cursor.sql(ordered).to_arrow_reader(BATCH_ROWS)
