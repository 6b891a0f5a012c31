"""One published run as the service uses it: everything that is prepared once, before a customer asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models_ml.decisions.decide import DRAWS, REFERENCE_COLUMNS, PlanSummary
from models_ml.decisions.economics import needed_columns
from models_ml.decisions.limits import Limits, PlanPrices, read_limits, read_prices
from models_ml.decisions.policy import DecisionInputs, read_decision_inputs
from models_ml.decisions.retention_curves import read_retention_curves
from models_ml.deployment.record import DeploymentRecord
from models_ml.errors import BayesPilotError
from models_ml.scoring.reasons import PopulationSides, read_sides
from models_ml.serving.expressions import RememberedTexts, RowExpressions
from models_ml.serving.one_row import OneRowPipeline, unroll
from models_ml.serving.snapshot import SNAPSHOT, Snapshot, read_snapshot

CUSTOMER_COLUMNS = {
    "churn_probability": "DOUBLE",
    "last_episode": "INTEGER",
    "has_consent": "BOOLEAN",
    "offers_with_consent": "BIGINT",
    "locked_offers": "BIGINT",
    "suppression_reason": "VARCHAR",
}
REASON_COLUMNS = {
    "template": "VARCHAR",
    "currency": "VARCHAR",
    "measure": "VARCHAR",
    "feature_value": "DOUBLE",
    "category": "VARCHAR",
}
REMEMBERED_REASONS = 20_000
RATIONALE_COLUMNS = {
    "action": "VARCHAR",
    "planned_action": "VARCHAR",
    "action_label": "VARCHAR",
    "arm": "VARCHAR",
    "suppression_reason": "VARCHAR",
    "has_worthwhile_offer": "BOOLEAN",
    "churn_probability": "DOUBLE",
    "customer_value": "DOUBLE",
    "expected_cost": "DOUBLE",
    "incremental_expected_value": "DOUBLE",
    "reason_1": "VARCHAR",
}


@dataclass(frozen=True)
class Input:
    """One value that a request must give: a column of customer_features.

    ``unit`` and ``words`` describe it, ``categories`` are the known ones (None for numbers and truth values),
    ``minimum`` and ``maximum`` its bounds as customer_features.yml declares them (None without).
    """

    name: str
    data_type: str
    is_nullable: bool
    words: str
    unit: str
    categories: tuple[str, ...] | None
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class PublishedRun:
    """A published run, prepared.

    ``limits`` are what the plan of the run has left of the month, money in cents; ``templates`` the wording and text of
    a reason by feature and direction; ``scores`` the nightly probabilities in order.
    """

    run_id: str
    as_of_date: date
    published_at: str
    source: str
    pipeline_version: str
    policy_version: str
    record: DeploymentRecord
    inputs: DecisionInputs
    pipeline: OneRowPipeline
    sides: PopulationSides
    templates: Mapping[tuple[str, str], Mapping[str, Any]]
    reductions: Mapping[str, Mapping[str, Any]]
    prices: PlanPrices
    summary: PlanSummary
    limits: Limits
    scores: NDArray[np.float64]
    columns: tuple[Input, ...]
    counted: frozenset[str]
    customer_sql: RowExpressions
    reason_texts: RememberedTexts
    rationale_sql: RowExpressions
    snapshot: Snapshot

    @property
    def offer_names(self) -> tuple[str, ...]:
        """The offers, in the order of their positions."""
        return tuple(offer.offer for offer in self.inputs.offers)

    def percentile(self, churn_probability: float) -> float:
        """Return the share of the run's customers with a lower probability, as percent_rank() gives it to its own."""
        others = max(len(self.scores) - 1, 1)
        return round(min(float(np.searchsorted(self.scores, churn_probability)) / others, 1.0), 6)

    def tier(self, churn_probability: float) -> str:
        """Return the risk tier, as churn_scores has it."""
        policy = self.inputs.policy
        if churn_probability >= policy.escalate_from:
            return "escalate"
        return "review" if churn_probability >= policy.review_from else "monitor"


def read_published_run(folder: Path, source: str) -> PublishedRun:
    """Read and prepare the run in a folder that publishing made.

    Parameters
    ----------
    folder : Path
        Of the run itself, not the link to it: it holds the folder ``serving``.
    source : str

    Raises
    ------
    BayesPilotError
        If the folder holds nothing for the service, or its parts do not fit each other.
    """
    snapshot = read_snapshot(folder / SNAPSHOT, source)
    tables = snapshot.tables
    inputs = read_decision_inputs(
        tables["int_policy_parameters"],
        tables["int_offers"],
        tables["offer_effects"],
        tables["offer_effect_covariances"],
        read_retention_curves(tables["retention_curves"]),
        tables["int_measured_acceptance"],
    )
    (run,) = tables["int_run"].to_pylist()
    plans = tables["plan"].to_pylist()
    if len(plans) != 1:
        raise BayesPilotError(
            "the run has no plan",
            where=str(folder),
            values=[run["as_of_date"]],
            next_step=f"bayespilot run --source {source}",
        )
    (plan,) = plans
    expressions = _expressions(tables["int_served_expressions"])
    selects = {name: sql for name, (_, sql) in expressions["select"].items()}
    templates = _select(snapshot, selects["reason_templates"])
    reductions = _select(snapshot, selects["offer_reductions"])
    shape = _shape(tables["shapes"], "customer_features")
    connection = duckdb.connect(":memory:")
    connection.execute("set threads = 1")
    connection.execute("set enable_progress_bar = false")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    policy = inputs.policy
    signals = [f"signal_{name}" for name in inputs.effects.signals]
    return PublishedRun(
        folder.name,
        run["as_of_date"],
        tables["identity"].to_pylist()[0]["written_at"].replace(tzinfo=UTC).isoformat(timespec="seconds"),
        source,
        snapshot.record.pipeline_version,
        plan["policy_version"],
        snapshot.record,
        inputs,
        unroll(snapshot.pipeline),
        read_sides(tables["int_feature_population"].to_pylist(), snapshot.record.schema.names),
        {(row["feature"], row["direction"]): row for row in templates},
        {row["offer"]: row for row in reductions},
        read_prices(plan["limit_prices"], inputs.offers, policy.touch_price),
        _summary(plan),
        _limits_after_the_plan(tables, inputs),
        np.asarray(tables["scores"].column("churn_probability").to_numpy()),
        _columns(tables, shape, snapshot.pipeline.encoder.categories, expressions),
        frozenset(tables["counted"].column("action_id").to_pylist()),
        RowExpressions(
            connection,
            "customer",
            {name: kind for name, (kind, _) in shape.items()} | CUSTOMER_COLUMNS,
            {"horizon_days": policy.horizon_days, "randomisation_salt": policy.randomisation_salt},
            [
                expressions["customer"],
                {"offers_allowed": ("bigint", "offers_with_consent & conditions_that_hold & ~locked_offers")},
                expressions["suppression"],
            ],
            list(
                dict.fromkeys(
                    [
                        *("customer_id", "as_of_date", "churn_probability", "suppression_reason"),
                        *needed_columns(inputs),
                        *DRAWS,
                    ]
                )
            ),
        ),
        RememberedTexts(
            RowExpressions(
                connection, "reason", REASON_COLUMNS, {}, [expressions["reason"]], ["reason_text"]
            ),
            "reason_text",
            REMEMBERED_REASONS,
        ),
        RowExpressions(
            connection,
            "rationale",
            RATIONALE_COLUMNS
            | dict.fromkeys(signals, "DOUBLE")
            | {f"reduction_{name}": "DOUBLE" for name in inputs.effects.signals}
            | {f"is_measured_{name}": "INTEGER" for name in inputs.effects.signals},
            {"horizon_days": policy.horizon_days, "currency": policy.currency},
            [expressions["reduction"], expressions["rationale"]],
            ["rationale"],
        ),
        snapshot,
    )


def _expressions(table: pa.Table) -> dict[str, dict[str, tuple[str, str]]]:
    """Return type and SQL of each expression, by purpose and name."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for row in table.to_pylist():
        found.setdefault(row["purpose"], {})[row["name"]] = row["data_type"], row["expression"]
    return found


def _select(snapshot: Snapshot, sql: str) -> list[dict[str, Any]]:
    """Evaluate a published select over the tables of the run."""
    names = {
        "feature_reasons": "int_feature_reasons",
        "reason_texts": "reason_texts",
        "parameters": "int_policy_parameters",
        "offer_effects": "offer_effects",
    }
    given = ", ".join(f"{name} as (from {snapshot.database}.{table})" for name, table in names.items())
    rows: list[dict[str, Any]] = snapshot.connection.sql(f"with {given} {sql}").to_arrow_table().to_pylist()
    return rows


def _shape(shapes: pa.Table, table: str) -> dict[str, tuple[str, bool]]:
    """Return type and nullability of the columns of a table, in order."""
    rows = sorted(
        (row for row in shapes.to_pylist() if row["table_name"] == table),
        key=lambda row: row["ordinal_position"],
    )
    return {row["column_name"]: (row["data_type"], row["is_nullable"]) for row in rows}


def _columns(
    tables: Mapping[str, pa.Table],
    shape: Mapping[str, tuple[str, bool]],
    fitted: Mapping[str, Sequence[str]],
    expressions: Mapping[str, Mapping[str, tuple[str, str]]],
) -> tuple[Input, ...]:
    """Return what a request gives: every column of customer_features that says something of the customer.

    Known categories are those of the pipeline (``fitted``) and those of the run's customers. Bounds are among the
    ``expressions``; a run that an earlier version of the project built has none.
    """
    bounds = {
        bound: {name: float(text) for name, (_, text) in expressions.get(bound, {}).items()}
        for bound in ("minimum", "maximum")
    }
    reasons = {row["feature"]: row for row in tables["int_feature_reasons"].to_pylist()}
    known = {name: set(categories) for name, categories in fitted.items()}
    for row in tables["categories"].to_pylist():
        known.setdefault(row["feature"], set()).add(row["category"])
    categorical = {
        row["feature"] for row in tables["int_feature_schema"].to_pylist() if row["role"] == "categorical"
    }
    return tuple(
        Input(
            name,
            data_type,
            is_nullable,
            reasons[name]["words"] if name in reasons else name.replace("_", " "),
            reasons[name]["unit"] if name in reasons else "",
            tuple(sorted(known.get(name, ()))) if name in categorical else None,
            bounds["minimum"].get(name),
            bounds["maximum"].get(name),
        )
        for name, (data_type, is_nullable) in shape.items()
        if name not in ("customer_id", "as_of_date", "feature_definition")
    )


def _summary(plan: Mapping[str, Any]) -> PlanSummary:
    """Return the certificate of the plan, as policy_runs keeps it."""
    return PlanSummary(
        value=plan["planned_value"],
        spend=plan["planned_spend"],
        contacts=(),
        bound=plan["plan_value_bound"],
        gap=plan["plan_gap"],
        budget_price=plan["budget_price"],
        prices={},
        references={name: plan[column] for column, name in REFERENCE_COLUMNS.items()},
    )


def _limits_after_the_plan(tables: Mapping[str, pa.Table], inputs: DecisionInputs) -> Limits:
    limits = read_limits(tables["int_month_limits"], inputs.offers).in_cents()
    used = {row["action"]: row for row in tables["planned_use"].to_pylist()}
    contacts = [used.get(offer.offer, {}).get("contacts", 0) for offer in inputs.offers]
    return limits.after(float(sum(row["cost_cents"] for row in used.values())), np.array(contacts))
