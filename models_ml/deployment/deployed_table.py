"""The table ``deployed_pipeline``: the training stage as one node of the DAG."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pyarrow as pa
from dbt.adapters.events.logging import AdapterLogger

from models_ml.deployment.run import Deployment, ensure_deployed
from models_ml.paths import artifacts_folder, reports_folder
from models_ml.training.context import TrainingTables, read_run, run_is_empty
from models_ml.training.settings import load_settings

DEPLOYED_SCHEMA = pa.schema(
    [
        ("pipeline_version", pa.string()),
        ("candidate", pa.string()),
        ("hyper_parameters", pa.string()),
        ("selection_reason", pa.string()),
        ("source", pa.string()),
        ("churn_definition", pa.string()),
        ("horizon_days", pa.int32()),
        ("feature_count", pa.int32()),
        ("calibration_method", pa.string()),
        ("fit_from", pa.date32()),
        ("fit_to", pa.date32()),
        ("calibrated_on", pa.date32()),
        ("fit_rows", pa.int64()),
        ("calibration_rows", pa.int64()),
        ("refitted_auc", pa.float64()),
        ("refitted_average_precision", pa.float64()),
        ("refitted_log_loss", pa.float64()),
        ("judged_on", pa.date32()),
        ("judged_profit", pa.float64()),
        ("judged_auc", pa.float64()),
        ("judged_average_precision", pa.float64()),
        ("judged_log_loss", pa.float64()),
        ("judged_calibration_ratio", pa.float64()),
        ("judged_calibration_error", pa.float64()),
        ("sha256", pa.string()),
        ("settings_fingerprint", pa.string()),
        ("data_fingerprint", pa.string()),
        ("mlflow_run_id", pa.string()),
        ("was_trained_now", pa.bool_()),
        ("trained_because", pa.string()),
        ("training_outcome", pa.string()),
        ("training_outcome_reason", pa.string()),
    ]
)


def deployed_table(cursor: Any, tables: TrainingTables) -> pa.Table:  # noqa: ANN401 - a DuckDB cursor
    """Train where nothing fits and return the record of what is deployed; empty where the run is empty."""
    if run_is_empty(cursor, tables.int_run):
        return DEPLOYED_SCHEMA.empty_table()
    source = read_run(cursor, tables.int_run)["source"]
    log = AdapterLogger("BayesPilot")
    deployment = ensure_deployed(
        cursor,
        tables,
        artifacts_folder(source),
        load_settings(),
        notify=log.info,
        reports=reports_folder(source),
    )
    return deployment_row(deployment)


def deployment_row(deployment: Deployment) -> pa.Table:
    """Return one flat row of `DEPLOYED_SCHEMA`."""
    record, selection = deployment.record, deployment.selection
    values = vars(record) | {
        "feature_count": len(record.features),
        "hyper_parameters": json.dumps(record.recipe, sort_keys=True),
        "was_trained_now": selection is not None and selection.deploys,
        "training_outcome": selection.outcome if selection else None,
        "training_outcome_reason": selection.reason if selection else None,
        "trained_because": "; ".join(deployment.trained_because) or None,
    }
    values |= {name: value for name, value in record.refitted.items() if name in DEPLOYED_SCHEMA.names}
    values |= {f"judged_{name}": value for name, value in record.judged["metrics"].items()}
    values |= {f"refitted_{name}": value for name, value in record.refitted["metrics"].items()}
    values |= {"judged_on": record.judged["judged_on"]}
    row = {field.name: _typed(values[field.name], field.type) for field in DEPLOYED_SCHEMA}
    return pa.Table.from_pylist([row], schema=DEPLOYED_SCHEMA)


def _typed(value: Any, data_type: pa.DataType) -> Any:  # noqa: ANN401 - a scalar of the schema
    return date.fromisoformat(value) if value is not None and pa.types.is_date(data_type) else value
