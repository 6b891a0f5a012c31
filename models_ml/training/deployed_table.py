"""The table ``deployed_pipeline``: the training stage as one node of the DAG."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa
from dbt.adapters.events.logging import AdapterLogger

from models_ml.paths import artifacts_folder
from models_ml.training.context import TrainingTables, read_run, run_is_empty
from models_ml.training.run import Deployment, ensure_deployed
from models_ml.training.settings import load_settings

DEPLOYED_SCHEMA = pa.schema(
    [
        ("pipeline_version", pa.string()),
        ("candidate", pa.string()),
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
        ("mlflow_run_id", pa.string()),
        ("was_trained_now", pa.bool_()),
        ("trained_because", pa.string()),
    ]
)


def deployed_table(cursor: Any, tables: TrainingTables) -> pa.Table:  # noqa: ANN401 - a DuckDB cursor
    """Train where nothing fits and return the record of what is deployed; empty where the run is empty."""
    if run_is_empty(cursor, tables.int_run):
        return DEPLOYED_SCHEMA.empty_table()
    folder = artifacts_folder(read_run(cursor, tables.int_run)["source"])
    log = AdapterLogger("BayesPilot")
    return deployment_row(ensure_deployed(cursor, tables, folder, load_settings(), notify=log.info))


def deployment_row(deployment: Deployment) -> pa.Table:
    """Return one flat row of `DEPLOYED_SCHEMA`."""
    record = deployment.record
    values = vars(record) | {
        "feature_count": len(record.features),
        "was_trained_now": bool(deployment.trained_because),
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
