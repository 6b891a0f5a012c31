"""What MLflow is told of a training: tags, parameters and metrics, by name."""

from __future__ import annotations

from models_ml.deployment.challenge import Selection
from models_ml.deployment.code_version import code_version
from models_ml.training.judging import Verdict
from models_ml.training.stage import Round, TrainingResult


def run_tags(result: TrainingResult, version: str, selection: Selection) -> dict[str, str]:
    """Return what tells runs apart: version, outcome of the challenge, data and code."""
    return {
        "pipeline_version": version,
        "outcome": selection.outcome,
        "outcome_reason": selection.reason,
        "champion_version": selection.champion_version or "",
        "failed_guardrails": ", ".join(guardrail.name for guardrail in selection.failed),
        "data_fingerprint": result.refitted.data_fingerprint,
        "code_version": code_version(),
    }


def run_metrics(result: TrainingResult, selection: Selection) -> dict[str, float]:
    """Return metrics of the winner, judged and refitted, and of its challenge."""
    judged = candidate_metrics(result.verdicts[result.chosen])
    metrics = {name if "judged" in name else f"judged_{name}": value for name, value in judged.items()}
    metrics |= {f"refitted_{name}": value for name, value in result.refit_metrics.items()}
    metrics |= {f"guardrail_{guardrail.name}": guardrail.value for guardrail in selection.guardrails}
    if selection.probability_better is not None:
        metrics["probability_better"] = selection.probability_better
    return metrics


def candidate_metrics(verdict: Verdict) -> dict[str, float]:
    """Return what a candidate showed on the judged date, by name."""
    return dict(verdict.metrics) | {
        "judged_profit": verdict.profit.profit,
        "judged_profit_standard_error": verdict.profit.standard_error,
        "shortfall": verdict.profit.shortfall,
        "shortfall_standard_error": verdict.profit.shortfall_standard_error,
        "planned_contacts": verdict.planned_contacts,
        "planned_cost": verdict.planned_cost,
    }


def round_parameters(round_: Round, candidate: str) -> dict[str, str]:
    """Return dates and sizes of a round, and which curve calibrates a candidate in it."""
    split = round_.split
    said = {
        "fit_from": min(split.fit_on),
        "fit_to": max(split.fit_on),
        "calibrated_on": split.calibrated_on,
        "judged_on": split.judged_on,
        "fit_rows": round_.fit_rows,
        "calibration_rows": round_.calibration_rows,
        "calibration_method": round_.pipelines[candidate].calibrator.method,
    }
    return {name: str(value) for name, value in said.items() if value is not None}
