"""The log of judged candidates: one JSON line per candidate and training, in order of training."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from models_ml.deployment.challenge import Selection
from models_ml.deployment.json_lines import append_lines, read_lines
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
    "brier_uncertainty",
    "brier_within_bins",
    "mean_predicted",
    "mean_observed",
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
        ("outcome", pa.string()),
        ("champion_version", pa.string()),
        ("probability_better", pa.float64()),
        ("failed_guardrails", pa.string()),
        ("hyper_parameters", pa.string()),
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
        ("calibration_tried", pa.string()),
        ("threshold_sweep", pa.string()),
    ]
)


def candidate_rows(
    result: TrainingResult, pipeline_version: str, selection: Selection | None = None
) -> list[dict[str, Any]]:
    """Return one row per judged candidate, in order of name.

    Parameters
    ----------
    pipeline_version : str
        Of the winner's refit.
    selection : Selection, optional
        What became of the winner; stands on its row alone.
    """
    shared = {"pipeline_version": pipeline_version} | _judged_rows(result)
    rows = []
    for name, verdict in sorted(result.verdicts.items()):
        profit, is_selected = verdict.profit, name == result.chosen
        rows.append(
            shared
            | {
                "candidate": name,
                "is_selected": is_selected,
                "selection_reason": result.reason if is_selected else None,
                "hyper_parameters": json.dumps(dict(result.recipes[name]), sort_keys=True),
                "calibration_method": result.judged.pipelines[name].calibrator.method,
                "planned_contacts": verdict.planned_contacts,
                "planned_cost": round(verdict.planned_cost, CENTS),
                "judged_profit": round(profit.profit, CENTS),
                "judged_profit_standard_error": round(profit.standard_error, CENTS),
                "profit_shortfall": round(profit.shortfall, CENTS),
                "profit_shortfall_standard_error": round(profit.shortfall_standard_error, CENTS),
            }
            | (_became(selection) if is_selected and selection else {})
            | {metric: finite(verdict.metrics[metric]) for metric in METRICS}
            | {
                "calibration_tried": json.dumps(_rounded(result.evidence.candidates[name].calibration)),
                "threshold_sweep": json.dumps(_rounded(result.evidence.candidates[name].thresholds)),
            }
        )
    return rows


def _rounded(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: finite(value) if isinstance(value, float) else value for name, value in row.items()}
        for row in rows
    ]


def _judged_rows(result: TrainingResult) -> dict[str, Any]:
    split = result.judged.split
    return {
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


def _became(selection: Selection) -> dict[str, Any]:
    better = selection.probability_better
    return {
        "outcome": selection.outcome,
        "champion_version": selection.champion_version,
        "probability_better": None if better is None else round(better, DIGITS),
        "failed_guardrails": ", ".join(guardrail.name for guardrail in selection.failed) or None,
    }


def finite(value: float) -> float | None:
    """Round to the digits of outputs; None where the metric has no value."""
    return round(value, DIGITS) if math.isfinite(value) else None


def next_training_run(folder: Path) -> int:
    """Return the number of the next training, from 1."""
    return max((row["training_run"] for row in _read(folder)), default=0) + 1


def append_candidates(folder: Path, rows: list[dict[str, Any]], training_run: int) -> None:
    """Append the rows of one training."""
    append_lines(folder / LOG_FILE, [{"training_run": training_run} | row for row in rows])


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
    return read_lines(folder / LOG_FILE, "the candidate log", ("training_run", "candidate"))
