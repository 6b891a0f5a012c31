"""The files that a training writes into the folder of reports: the page, two tables and a summary for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models_ml.deployment.challenge import Selection
from models_ml.deployment.logs import DIGITS, candidate_rows, finite
from models_ml.deployment.record import DeploymentRecord
from models_ml.files import write_text
from models_ml.reports.page import write_page
from models_ml.reports.training_page import training_page, training_plots
from models_ml.training.stage import TrainingResult

PAGE, COMPARISON, SWEEP, SELECTED = (
    "training.html",
    "model_comparison.csv",
    "threshold_evaluation.csv",
    "selected_model.json",
)


def write_training_files(
    folder: Path,
    result: TrainingResult,
    selection: Selection,
    record: DeploymentRecord,
    *,
    currency: str,
    plots: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write the four files, each as a whole; return their paths.

    Parameters
    ----------
    folder : Path
        Made where missing.
    record : DeploymentRecord
        Of the pipeline that this training made.
    currency : str
        Unit of every amount.
    plots : mapping of name to SVG, optional
        The figures, where they are drawn already.
    """
    drawn = training_plots(result, currency) if plots is None else plots
    write_page(folder / PAGE, training_page(result, selection, record, drawn, currency=currency))
    write_text(folder / COMPARISON, _as_csv(candidate_rows(result, record.pipeline_version, selection)))
    write_text(folder / SWEEP, _as_csv(threshold_rows(result)))
    summary = selected(result, selection, record, currency)
    write_text(folder / SELECTED, json.dumps(summary, indent=2, allow_nan=False) + "\n")
    return [folder / name for name in (PAGE, COMPARISON, SWEEP, SELECTED)]


def threshold_rows(result: TrainingResult) -> list[dict[str, Any]]:
    """Return one row per candidate and cut-off."""
    return [
        {"candidate": name} | row
        for name, candidate in sorted(result.diagnostics.candidates.items())
        for row in candidate.thresholds
    ]


def selected(
    result: TrainingResult, selection: Selection, record: DeploymentRecord, currency: str
) -> dict[str, Any]:
    """Return what was selected and why, ready for JSON; a metric without a value is None."""
    row = next(row for row in candidate_rows(result, record.pipeline_version) if row["is_selected"])
    better = selection.probability_better
    return {
        "pipeline_version": record.pipeline_version,
        "deployed_version": selection.champion_version if selection.outcome == "kept" else selection.version,
        "candidate": result.chosen,
        "selection_reason": result.reason,
        "outcome": selection.outcome,
        "outcome_reason": selection.reason,
        "champion_version": selection.champion_version,
        "probability_better": finite(better) if better is not None else None,
        "guardrails": [asdict(rail) | {"value": finite(rail.value)} for rail in selection.guardrails],
        "currency": currency,
        "judged_profit": row["judged_profit"],
        "judged_profit_standard_error": row["judged_profit_standard_error"],
        "planned_contacts": row["planned_contacts"],
        "planned_cost": row["planned_cost"],
        "judged_share": round(result.judged_share, DIGITS),
        "hyperparameters": dict(result.recipes[result.chosen]),
        "calibration_method": record.calibration_method,
        "judged": record.judged | {"data_fingerprint": result.judged.data_fingerprint},
        "refitted": record.refitted | {"data_fingerprint": result.refitted.data_fingerprint},
        "source": record.source,
        "churn_definition": record.churn_definition,
        "horizon_days": record.horizon_days,
        "settings_fingerprint": record.settings_fingerprint,
        "libraries": record.libraries,
        "sha256": record.sha256,
        "trained_at": record.trained_at,
        "mlflow_run_id": record.mlflow_run_id,
    }


def _as_csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
