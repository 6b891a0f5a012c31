"""The table ``int_planned_actions``: what the policy decides for every customer at risk, streamed in and out.

Deciding looks at all customers at once, so values are held as plain arrays (a few doubles a customer and offer);
the rows themselves pass through in batches.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from models_ml.decisions.cents import money
from models_ml.decisions.economics import Valuation, value_offers
from models_ml.decisions.limits import Limits, read_limits
from models_ml.decisions.parameters import (
    Offer,
    OfferEffects,
    Policy,
    read_offer_effects,
    read_offers,
    read_policy,
)
from models_ml.decisions.plan import Decisions, Draws, decide, planned_relative_risk
from models_ml.decisions.randomisation import ARMS, PICK_HOLDOUT

BATCH_ROWS = 65_536
PROBABILITY_DIGITS = 9
POLICY_CODE = 1  # part of policy_version: raised whenever the same seeds would decide otherwise

PLANNED_ACTIONS_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("as_of_date", pa.date32()),
        ("action", pa.string()),
        ("planned_action", pa.string()),
        ("channel", pa.string()),
        ("arm", pa.string()),
        ("propensity", pa.float64()),
        ("propensity_no_action", pa.float64()),
        ("churn_probability", pa.float64()),
        ("customer_value", pa.float64()),
        ("relative_risk", pa.float64()),
        ("effect_source", pa.string()),
        ("expected_cost", pa.float64()),
        ("incremental_expected_value", pa.float64()),
        ("suppression_reason", pa.string()),
        ("plan_value_bound", pa.float64()),
        ("plan_gap", pa.float64()),
        ("budget_price", pa.float64()),
        ("limit_prices", pa.string()),
        ("reference_top_risk_value", pa.float64()),
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
    int_month_limits: str


@dataclass(frozen=True)
class Terms:
    """What customers are decided by: parameters, offers and their effects."""

    policy: Policy
    offers: tuple[Offer, ...]
    effects: OfferEffects

    @property
    def policy_version(self) -> str:
        """Hash of all that decides beside the customers and what the month has left."""
        content = {
            "code": POLICY_CODE,
            "policy": asdict(self.policy),
            "offers": [asdict(offer) for offer in self.offers],
            "signals": self.effects.signals,
            "effects": self.effects.coefficients.tolist(),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def planned_actions_reader(cursor: Any, tables: PlanTables) -> pa.RecordBatchReader:  # noqa: ANN401 - a DuckDB cursor
    """Plan a run from its tables; empty where there is no customer to decide on."""
    ordered = f"select * from ({tables.int_decision_candidates}) order by customer_id"
    if not cursor.execute(f"select 1 from ({tables.int_decision_candidates}) limit 1").fetchall():
        return pa.RecordBatchReader.from_batches(PLANNED_ACTIONS_SCHEMA, [])

    def read_table(select: str) -> pa.Table:
        return cursor.sql(select).to_arrow_table()

    offers = read_offers(read_table(tables.int_offers))
    terms = Terms(
        read_policy(read_table(tables.int_policy_parameters)),
        offers,
        read_offer_effects(read_table(tables.offer_effects), offers),
    )
    limits = read_limits(read_table(tables.int_month_limits), offers)
    return plan_actions(lambda: cursor.sql(ordered).to_arrow_reader(BATCH_ROWS), terms, limits)


def plan_actions(
    read_batches: Callable[[], Iterable[pa.RecordBatch]], terms: Terms, limits: Limits
) -> pa.RecordBatchReader:
    """Decide for all candidates and return their rows.

    Parameters
    ----------
    read_batches : callable
        Returns the rows of int_decision_candidates in order of customer_id; called twice.
    terms : Terms
    limits : Limits
        What the month has left, money and contacts.

    Returns
    -------
    pyarrow.RecordBatchReader
        Rows of :data:`PLANNED_ACTIONS_SCHEMA` in the same order.
    """
    candidates = _Candidates.read(read_batches(), terms)
    decisions = decide(
        candidates.churn_probability,
        candidates.valuation,
        candidates.allowed,
        candidates.suppressed,
        candidates.draws,
        policy=terms.policy,
        offers=terms.offers,
        limits=limits,
    )
    relative_risk = planned_relative_risk(candidates.valuation, decisions.planned)
    rows = _Rows(decisions, candidates.valuation.customer_value, relative_risk, terms)
    return pa.RecordBatchReader.from_batches(PLANNED_ACTIONS_SCHEMA, rows.stream(read_batches()))


@dataclass(frozen=True)
class _Candidates:
    """The arrays of all candidates."""

    churn_probability: np.ndarray
    valuation: Valuation
    allowed: np.ndarray
    suppressed: np.ndarray
    draws: Draws

    @classmethod
    def read(cls, batches: Iterable[pa.RecordBatch], terms: Terms) -> _Candidates:
        parts = [_read_batch(batch, terms) for batch in batches if batch.num_rows]
        valuations = [part[1] for part in parts]
        value = np.concatenate([one.expected_value for one in valuations])
        return cls(
            churn_probability=np.concatenate([part[0] for part in parts]),
            valuation=Valuation(
                value,
                np.broadcast_to(valuations[0].expected_cost[0], value.shape),
                np.concatenate([one.relative_risk for one in valuations]),
                np.concatenate([one.customer_value for one in valuations]),
            ),
            allowed=np.concatenate([part[2] for part in parts]),
            suppressed=np.concatenate([part[3] for part in parts]),
            draws=Draws(*(np.concatenate([part[4][j] for part in parts]) for j in range(4))),
        )


def _read_batch(
    batch: pa.RecordBatch, terms: Terms
) -> tuple[np.ndarray, Valuation, np.ndarray, np.ndarray, list[np.ndarray]]:
    def doubles(name: str) -> np.ndarray:
        return batch.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)

    signals = [doubles(f"signal_{name}") for name in terms.effects.signals]
    churn_probability = doubles("churn_probability")
    valuation = value_offers(
        churn_probability,
        doubles("monthly_revenue"),
        np.column_stack(signals) if signals else np.empty((batch.num_rows, 0)),
        policy=terms.policy,
        offers=terms.offers,
        effects=terms.effects,
    )
    bits = batch.column("offers_allowed").cast(pa.int64()).to_numpy(zero_copy_only=False)
    allowed = (bits[:, None] >> np.arange(len(terms.offers))) & 1 == 1
    suppressed = batch.column("suppression_reason").is_valid().to_numpy(zero_copy_only=False)
    draws = [doubles(f"{name}_draw") for name in ("universal", "pick", "trial", "trial_offer")]
    return churn_probability, valuation, allowed, suppressed, draws


@dataclass(frozen=True)
class _Rows:
    """Decisions as rows."""

    decisions: Decisions
    customer_value: np.ndarray
    relative_risk: np.ndarray
    terms: Terms

    def stream(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        start = 0
        for batch in batches:
            if batch.num_rows:
                yield self._rows(batch, slice(start, start + batch.num_rows))
            start += batch.num_rows

    def _rows(self, batch: pa.RecordBatch, at: slice) -> pa.RecordBatch:
        decided, offers = self.decisions, self.terms.offers
        planned = decided.planned[at]
        acted = np.where(decided.arms[at] == PICK_HOLDOUT, -1, planned)
        # Position −1 is the last of each list: nothing is planned.
        names = [*(offer.offer for offer in offers), "no_action"]
        sources = [*np.where(self.terms.effects.measured, "measured", "assumed").tolist(), "assumed"]
        chance = batch.column("churn_probability").cast(pa.float64()).to_numpy(zero_copy_only=False)
        columns = {
            "customer_id": batch.column("customer_id"),
            "as_of_date": batch.column("as_of_date"),
            "action": _take(names, acted),
            "planned_action": _take(names, planned),
            "channel": _take([*(offer.channel for offer in offers), None], acted),
            "arm": _take(list(ARMS), decided.arms[at]),
            "propensity": np.round(decided.propensity[at], PROBABILITY_DIGITS),
            "propensity_no_action": np.round(decided.propensity_no_action[at], PROBABILITY_DIGITS),
            "churn_probability": np.round(chance, PROBABILITY_DIGITS),
            "customer_value": np.round(self.customer_value[at], 2),
            "relative_risk": np.round(self.relative_risk[at], PROBABILITY_DIGITS),
            "effect_source": _take(sources, planned),
            "expected_cost": money(np.append(decided.cost_cents, 0.0)[planned]),
            "incremental_expected_value": money(decided.value_cents[at]),
            "suppression_reason": _suppression(batch, decided, at),
            **{name: _repeat(value, batch.num_rows) for name, value in self._constants().items()},
        }
        arrays = [
            column.cast(field.type) if isinstance(column, pa.Array) else pa.array(column, field.type)
            for field, column in ((field, columns[field.name]) for field in PLANNED_ACTIONS_SCHEMA)
        ]
        return pa.record_batch(arrays, schema=PLANNED_ACTIONS_SCHEMA)

    def _constants(self) -> dict[str, float | str]:
        plan = self.decisions.plan
        prices = {name: price if name == "budget" else price / 100 for name, price in plan.prices.items()}
        return {
            "plan_value_bound": round(plan.bound / 100, 2),
            "plan_gap": round(plan.gap, PROBABILITY_DIGITS),
            "budget_price": round(plan.budget_price, 6),
            "limit_prices": json.dumps({name: round(price, 6) for name, price in prices.items()}),
            "reference_top_risk_value": round(self.decisions.top_risk_cents / 100, 2),
            "policy_version": self.terms.policy_version,
        }


def _take(values: Sequence[str | None], positions: np.ndarray) -> pa.Array:
    return pa.array(values, pa.string()).take(pa.array(positions % len(values)))


def _repeat(value: float | str, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(value), rows)


def _suppression(batch: pa.RecordBatch, decided: Decisions, at: slice) -> pa.Array:
    """Return the reason of suppressed rows alone; a universal holdout needs none."""
    is_suppressed = decided.arms[at] == ARMS.index("suppressed")
    reasons = batch.column("suppression_reason").to_numpy(zero_copy_only=False)
    reasons = np.where(decided.below_minimum[at], "below_minimum_value", reasons)
    return pa.array(np.where(is_suppressed, reasons, None), pa.string())
