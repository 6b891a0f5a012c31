"""What a reader of a training report sees first and last: verdict, headline facts, versions."""

from __future__ import annotations

from models_ml.deployment.challenge import Selection
from models_ml.deployment.deployed import DeploymentRecord
from models_ml.deployment.guardrails import perfect_range
from models_ml.reports.figures import money, share
from models_ml.reports.page import Fact
from models_ml.reports.training_figures import plain
from models_ml.reports.training_tables import number
from models_ml.training.stage import TrainingResult

NORMAL_95 = 1.96  # standard errors on either side of a 95 % interval


def verdict(result: TrainingResult, selection: Selection, currency: str) -> str:
    """Return which pipeline is deployed, what it earns and why, in a sentence or two."""
    name = plain(result.chosen)
    profit = result.verdicts[result.chosen].profit
    low, high = _interval(profit.profit, profit.standard_error)
    earns = (
        f"its plan would have earned {money(profit.profit, currency)}"
        f" (95 % interval {money(low, currency)} to {money(high, currency)})"
    )
    match selection.outcome:
        case "kept":
            champion = selection.champion_version
            again = " again" if champion == selection.version else ""
            head = f"The champion {champion} stays deployed; {name} won this training{again}: {earns}"
        case "promoted":
            head = f"{name.capitalize()} is deployed and replaces {selection.champion_version}: {earns}"
        case "forced":
            head = f"{name.capitalize()} is deployed, its predecessor cannot compete: {earns}"
        case _:
            head = f"{name.capitalize()} is deployed, the first of this source: {earns}"
    return f"{head}. Why this candidate: {result.reason}. Why {fate(selection)}: {selection.reason}."


def fate(selection: Selection) -> str:
    """Return what became of the winner, as words."""
    return "not deployed" if selection.outcome == "kept" else "deployed"


def _interval(amount: float, standard_error: float) -> tuple[float, float]:
    return amount - NORMAL_95 * standard_error, amount + NORMAL_95 * standard_error


def facts(result: TrainingResult, currency: str) -> list[Fact]:
    """Return the headline numbers of the chosen candidate."""
    found = result.verdicts[result.chosen]
    metrics, planned = found.metrics, share(found.planned_contacts / result.evidence.weight.sum())
    low, high = _interval(found.profit.profit, found.profit.standard_error)
    back = "nobody is contacted"
    if found.planned_cost:
        back = f"{number(found.profit.profit / found.planned_cost, 2)} {currency} profit for each {currency}"
    chosen = result.evidence.candidates[result.chosen]
    perfect = [number(end, 2) for end in perfect_range(chosen.churn_probability, result.evidence.weight)]
    return [
        Fact(
            "Judged profit",
            money(found.profit.profit, currency),
            f"95 %: {number(low, 0)} to {number(high, 0)}",
        ),
        Fact("Contacts planned", f"{found.planned_contacts:,}", f"{planned} of the judged customers"),
        Fact(
            "Cost of the plan",
            money(found.planned_cost, currency),
            back,
        ),
        Fact("AUC", number(metrics["auc"]), f"lift among the riskiest: {number(metrics['lift'], 1)}"),
        Fact(
            "Calibration ratio",
            number(metrics["calibration_ratio"]),
            f"a perfect forecast: {perfect[0]} to {perfect[1]}",
        ),
        Fact(
            "Calibration error",
            number(metrics["calibration_error"]),
            "mean gap of forecast and churn, over bins",
        ),
    ]


def footer(result: TrainingResult, selection: Selection, record: DeploymentRecord) -> str:
    """Return versions and fingerprints, one a line."""
    libraries = ", ".join(f"{name} {version}" for name, version in record.libraries.items())
    lines = [
        f"Pipeline {record.pipeline_version}, sha256 {record.sha256}",
        f"Champion before: {selection.champion_version or 'none'}",
        f"Source {record.source}, churn definition {record.churn_definition}, horizon {record.horizon_days} days,"
        f" activity map {record.activity_map_hash}",
        f"Data judged {result.judged.data_fingerprint}",
        f"Data refitted {result.refitted.data_fingerprint}",
        f"Settings {record.settings_fingerprint}",
        f"Libraries: {libraries}",
        f"Trained {record.trained_at}, MLflow run {record.mlflow_run_id or 'none'}",
    ]
    return "\n".join(lines)
