"""The small tables that a training or scoring run reads first: run, features, policy, offers, effects."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from models_ml.decisions.policy import DecisionInputs, read_decision_inputs, read_policy
from models_ml.decisions.retention_curves import RetentionCurves
from models_ml.errors import BayesPilotError
from models_ml.training.schema import FeatureSchema, read_schema

Cursor = Any  # a DuckDB connection or cursor


@dataclass(frozen=True)
class Purpose:
    """What a pipeline is made for; one made for another purpose does not fit."""

    source: str
    churn_definition: str
    horizon_days: int
    activity_map_hash: str
    at_risk_days: int
    payment_grace_days: int
    resume_grace_days: int
    schema: FeatureSchema


@dataclass(frozen=True)
class PurposeTables:
    """Selects that define the purpose of a pipeline; each field holds SQL that returns the table of its name."""

    int_run: str
    int_policy_parameters: str
    int_feature_schema: str


@dataclass(frozen=True)
class TrainingTables(PurposeTables):
    """Selects that training reads, those of the purpose included."""

    training_examples: str
    customer_features: str
    int_offers: str
    int_earlier_effects: str
    int_earlier_covariances: str


def warehouse_tables() -> TrainingTables:
    """Return plain selects from the warehouse, for use outside dbt."""
    names = [field.name for field in fields(TrainingTables)]
    return TrainingTables(**{name: f"select * from {name}" for name in names})


def run_is_empty(cursor: Cursor, int_run: str) -> bool:
    """Return whether this is an ``--empty`` build, which has no run."""
    return not cursor.execute(f"select 1 from ({int_run}) limit 1").fetchall()


def read_run(cursor: Cursor, int_run: str) -> dict[str, Any]:
    """Return the one row of ``int_run``.

    Raises
    ------
    BayesPilotError
        If there is not exactly one.
    """
    rows = cursor.sql(int_run).to_arrow_table().to_pylist()
    if len(rows) != 1:
        raise BayesPilotError(
            f"int_run has {len(rows)} rows where one is needed", where="int_run", next_step="dbt build"
        )
    return dict(rows[0])


def read_purpose(cursor: Cursor, tables: PurposeTables) -> Purpose:
    """Return what a pipeline must have been made for to fit this run."""
    run = read_run(cursor, tables.int_run)
    policy = read_policy(cursor.sql(tables.int_policy_parameters).to_arrow_table())
    ordered = f"select * from ({tables.int_feature_schema}) order by feature_position"
    schema = read_schema(cursor.sql(ordered).to_arrow_table().to_pylist())
    return Purpose(
        source=run["source"],
        churn_definition=policy.churn_definition,
        horizon_days=policy.horizon_days,
        activity_map_hash=run["activity_map_hash"],
        at_risk_days=policy.at_risk_days,
        payment_grace_days=policy.payment_grace_days,
        resume_grace_days=policy.resume_grace_days,
        schema=schema,
    )


def read_inputs(cursor: Cursor, tables: TrainingTables, curves: RetentionCurves) -> DecisionInputs:
    """Return policy, offers, their effects as the latest earlier run knew them, and acceptance as the seed has it."""
    policy, offers, effects, covariances = (
        cursor.sql(select).to_arrow_table()
        for select in (
            tables.int_policy_parameters,
            tables.int_offers,
            tables.int_earlier_effects,
            tables.int_earlier_covariances,
        )
    )
    return read_decision_inputs(policy, offers, effects, covariances, curves)


def read_run_categories(
    cursor: Cursor, tables: TrainingTables, schema: FeatureSchema
) -> dict[str, set[str | None]]:
    """Return the categories of each categorical feature at the run's date."""
    day = read_run(cursor, tables.int_run)["as_of_date"]
    names = [schema.names[position] for position in schema.categorical]
    return {
        name: {
            row[0]
            for row in cursor.execute(
                f'select distinct "{name}" from ({tables.customer_features}) where as_of_date = ?', [day]
            ).fetchall()
        }
        for name in names
    }
