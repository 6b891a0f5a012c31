"""The log of judged candidates: one JSON line per candidate and training, in order of training."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pyarrow as pa

from models_ml.errors import BayesPilotError
from models_ml.paths import artifacts_folder
from models_ml.training.context import read_run, run_is_empty
from models_ml.training.stage import TrainingResult

LOG_FILE = "pipeline_candidates.jsonl"
DIGITS, CENTS = 9, 2

METRICS = (
    "auc",
    "average_precision",
    "brier",
    "brier_reliability",
    "brier_resolution",
    "log_loss",
    "calibration_error",
    "calibration_ratio",
    "lift",
    "empc",
)

CANDIDATES_SCHEMA = pa.schema(
    [
        ("training_run", pa.int32()),
        ("candidate", pa.string()),
        ("pipeline_version", pa.string()),
        ("is_selected", pa.bool_()),
        ("selection_reason", pa.string()),
        ("calibration_method", pa.string()),
        ("fit_from", pa.date32()),
        ("fit_to", pa.date32()),
        ("calibrated_on", pa.date32()),
        ("judged_on", pa.date32()),
        ("fit_rows", pa.int64()),
        ("calibration_rows", pa.int64()),
        ("judged_rows", pa.int64()),
        ("judged_churners", pa.int64()),
        ("judged_share", pa.float64()),
        ("planned_contacts", pa.int64()),
        ("planned_cost", pa.float64()),
        ("judged_profit", pa.float64()),
        ("judged_profit_standard_error", pa.float64()),
        ("profit_shortfall", pa.float64()),
        ("profit_shortfall_standard_error", pa.float64()),
        *((name, pa.float64()) for name in METRICS),
    ]
)


def candidate_rows(result: TrainingResult, pipeline_version: str) -> list[dict[str, Any]]:
    """Return one row per judged candidate, in order of name; ``pipeline_version`` is the deployed one."""
    split = result.judged.split
    shared = {
        "pipeline_version": pipeline_version,
        "fit_from": min(split.fit_on).isoformat(),
        "fit_to": max(split.fit_on).isoformat(),
        "calibrated_on": split.calibrated_on.isoformat(),
        "judged_on": split.judged_on.isoformat() if split.judged_on else None,
        "fit_rows": result.judged.fit_rows,
        "calibration_rows": result.judged.calibration_rows,
        "judged_rows": result.judged_rows,
        "judged_churners": result.judged_churners,
        "judged_share": round(result.judged_share, DIGITS),
    }
    rows = []
    for name, verdict in sorted(result.verdicts.items()):
        profit = verdict.profit
        rows.append(
            shared
            | {
                "candidate": name,
                "is_selected": name == result.chosen,
                "selection_reason": result.reason if name == result.chosen else None,
                "calibration_method": result.judged.pipelines[name].calibrator.method,
                "planned_contacts": verdict.planned_contacts,
                "planned_cost": round(verdict.planned_cost, CENTS),
                "judged_profit": round(profit.profit, CENTS),
                "judged_profit_standard_error": round(profit.standard_error, CENTS),
                "profit_shortfall": round(profit.shortfall, CENTS),
                "profit_shortfall_standard_error": round(profit.shortfall_standard_error, CENTS),
            }
            | {metric: finite(verdict.metrics[metric]) for metric in METRICS}
        )
    return rows


def finite(value: float) -> float | None:
    """Round to the digits of outputs; None where the metric has no value."""
    return round(value, DIGITS) if math.isfinite(value) else None


def append_candidates(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Append the rows of one training, numbered after the last."""
    number = max((row["training_run"] for row in _read(folder)), default=0) + 1
    lines = "".join(json.dumps({"training_run": number} | row) + "\n" for row in rows)
    path = folder / LOG_FILE
    earlier = path.read_text(encoding="utf-8") if path.is_file() else ""
    aside = folder / f".{LOG_FILE}.{os.getpid()}"
    aside.write_text(earlier + lines, encoding="utf-8")
    aside.replace(path)  # a crash leaves no half line


def logged_candidates(cursor: Any, int_run: str) -> pa.Table:  # noqa: ANN401 - a DuckDB cursor
    """Return the log of the run's source; empty where the run is empty."""
    if run_is_empty(cursor, int_run):
        return CANDIDATES_SCHEMA.empty_table()
    return candidates_table(artifacts_folder(read_run(cursor, int_run)["source"]))


def candidates_table(folder: Path) -> pa.Table:
    """Return the whole log as the table ``pipeline_candidates``; typed and empty before the first training.

    Raises
    ------
    BayesPilotError
        If a line is not JSON.
    """
    rows = _read(folder)
    columns = {
        field.name: pa.array([row.get(field.name) for row in rows]).cast(pa.string()).cast(field.type)
        if pa.types.is_date(field.type)
        else pa.array([row.get(field.name) for row in rows], field.type)
        for field in CANDIDATES_SCHEMA
    }
    return pa.table(columns, schema=CANDIDATES_SCHEMA)


def _read(folder: Path) -> list[dict[str, Any]]:
    path = folder / LOG_FILE
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise BayesPilotError(
                f"a line of the candidate log is not JSON ({error})",
                where=f"{path}, line {number}",
                next_step="remove the broken line and run again",
            ) from error
    return rows
