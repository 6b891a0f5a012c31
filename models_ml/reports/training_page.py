"""The training page: which candidate was chosen, whether it is deployed, why, and on which figures.

Beside the page a training writes two tables and a summary for programs into the folder of reports.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models_ml.deployment.challenge import Selection
from models_ml.deployment.logs import DIGITS, candidate_rows, finite
from models_ml.deployment.record import DeploymentRecord
from models_ml.files import write_text
from models_ml.reports import training_figures as figures
from models_ml.reports import training_tables as tables
from models_ml.reports.figures import money, share
from models_ml.reports.page import Fact, Figure, Page, Section, Table, Text, write_page
from models_ml.reports.training_figures import plain
from models_ml.reports.training_tables import number
from models_ml.training.stage import TrainingResult

NORMAL_95 = 1.96  # standard errors on either side of a 95 % interval

PAGE, COMPARISON, SWEEP, SELECTED = (
    "training.html",
    "model_comparison.csv",
    "threshold_evaluation.csv",
    "selected_model.json",
)


def training_page(
    result: TrainingResult,
    selection: Selection,
    record: DeploymentRecord,
    plots: Mapping[str, str],
    *,
    currency: str,
) -> Page:
    """Return the report of a training.

    Parameters
    ----------
    result : TrainingResult
        With what was measured on the judged date.
    selection : Selection
        Whether the winner is deployed, and why.
    record : DeploymentRecord
        Of the pipeline that this training made, deployed or registered.
    plots : mapping of name to SVG
        From `training_plots`; what is missing is left out.
    currency : str
        Unit of every amount.
    """
    caption = captions(result)
    drawn = {name: Figure(drawing, caption[name]) for name, drawing in plots.items()}
    sections = [
        _selection(result, currency, drawn),
        _challenge(selection),
        _ranking(drawn),
        _calibration(result, currency, drawn),
        _thresholds(result, currency),
        _importance(result, drawn),
        _data(result),
    ]
    return Page(
        title=f"Training report: {record.source}",
        subtitle=f"Judged on {result.judged.split.judged_on}: {result.judged_rows:,} customers,"
        f" {result.judged_churners:,} churners. Trained {record.trained_at[:16].replace('T', ' ')} UTC.",
        verdict=verdict(result, selection, currency),
        warning=record.calibration_warning if selection.deploys else None,
        facts=facts(result, currency),
        sections=[section for section in sections if section is not None],
        footer=footer(result, selection, record),
    )


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
            head = f"{name.capitalize()} is deployed, since the champion cannot compete: {earns}"
        case _:
            head = f"{name.capitalize()} is deployed, the first of this source: {earns}"
    return f"{head}. Why this candidate: {result.reason}. Why {state(selection)}: {selection.reason}."


def state(selection: Selection) -> str:
    """Return whether the winner is deployed, as words."""
    return "not deployed" if selection.outcome == "kept" else "deployed"


def _interval(amount: float, standard_error: float) -> tuple[float, float]:
    return amount - NORMAL_95 * standard_error, amount + NORMAL_95 * standard_error


def facts(result: TrainingResult, currency: str) -> list[Fact]:
    """Return the headline numbers of the chosen candidate."""
    found = result.verdicts[result.chosen]
    metrics, planned = found.metrics, share(found.planned_contacts / result.diagnostics.weight.sum())
    low, high = _interval(found.profit.profit, found.profit.standard_error)
    if not found.planned_contacts:
        returns = "nobody is contacted"
    elif not found.planned_cost:
        returns = "the planned contacts cost nothing"
    else:
        returns = (
            f"{number(found.profit.profit / found.planned_cost, 2)} {currency} profit for each {currency}"
        )
    chosen = result.diagnostics.candidates[result.chosen]
    perfect = tables.perfect_words(chosen.churn_probability, result.diagnostics.weight)
    return [
        Fact(
            "Judged profit",
            money(found.profit.profit, currency),
            f"95 %: {number(low, 0)} to {number(high, 0)}",
        ),
        Fact(
            "Contacts planned",
            f"{found.planned_contacts:,}",
            f"{planned} of the customers that the judged ones represent",
        ),
        Fact(
            "Cost of the plan",
            money(found.planned_cost, currency),
            returns,
        ),
        Fact(
            "AUC",
            number(metrics["auc"]),
            f"ranking, 0.5 is chance; lift of the riskiest: {number(metrics['lift'], 1)}{_announced(metrics)}",
        ),
        Fact(
            "Calibration ratio",
            number(metrics["calibration_ratio"]),
            f"predicted over observed churn; {perfect} in 19 of 20 perfect forecasts",
        ),
        Fact(
            "Calibration error",
            number(metrics["calibration_error"]),
            "mean difference of predicted and observed churn, over bins",
        ),
    ]


def _announced(metrics: Mapping[str, float]) -> str:
    """Return how much of the churn was announced, and the ranking of the rest; nothing where none was."""
    announced = metrics.get("announced_churn_share", 0.0)
    if not announced:
        return ""
    rest = number(metrics.get("auc_without_notice"))
    return f"; {share(announced)} of the churn was announced, {rest} without customers who had given notice"


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


def _selection(result: TrainingResult, currency: str, drawn: Mapping[str, Figure]) -> Section:
    return Section(
        "Which candidate, and why?",
        [
            tables.candidates(result, currency),
            Text(f"Chosen: {plain(result.chosen)} – {result.reason}."),
            Text(tables.abbreviations()),
            *_present(drawn, "profit_curve", "time_line"),
        ],
        "Judged profit is the value of the contacts of a candidate's plan on a date that was used neither to fit nor to"
        " calibrate it: churn prevented less the cost. The plan is made by the rules that decide in production, with"
        f" limits scaled to the {share(result.judged_share)} of customers that the judged rows represent.",
    )


def _challenge(selection: Selection) -> Section:
    contest = ""
    if selection.probability_better is not None:
        contest = (
            f"The challenger {selection.version} earns more than the champion {selection.champion_version} with"
            f" a probability of {share(selection.probability_better, 0)}. "
        )
    blocks: list[Text | Table | Figure] = [
        Text(f"{contest}{state(selection).capitalize()}: {selection.reason}.")
    ]
    table = tables.guardrails(selection)
    if table is not None:
        notes = [Text(f"{plain(rail.name).capitalize()}: {rail.note}.") for rail in selection.guardrails]
        blocks += [table, *notes]
    return Section("Does it replace the champion?", blocks)


def _ranking(drawn: Mapping[str, Figure]) -> Section:
    return Section("Are churners ranked first?", _present(drawn, "roc", "precision_recall"))


def _calibration(result: TrainingResult, currency: str, drawn: Mapping[str, Figure]) -> Section:
    blocks: list[Text | Table | Figure] = [*_present(drawn, "reliability", "calibration")]
    methods, by_segment = tables.calibration_methods(result), tables.segments(result, currency)
    if methods is not None:
        blocks += [
            Text(
                "Calibrations tried on the calibration date, each measured on rows that did not fit it. Brier score:"
                " mean squared error of the probabilities; reliability (lower is better) and resolution (higher is"
                " better) are its parts."
            ),
            methods,
        ]
    if by_segment is not None:
        blocks += [
            Text(
                f"Segments on the judged date, {plain(result.chosen)}. Churners and predicted: each customer counts"
                " for those that it represents. Ratio: predicted over observed churn; perfectly calibrated"
                " probabilities lie in the range beside it 19 times of 20."
            ),
            by_segment,
        ]
    return Section(
        "Do probabilities agree with observed churn?",
        blocks,
        "Decisions use probabilities, not ranks: 8 % has to mean that 8 of 100 customers leave.",
    )


def _thresholds(result: TrainingResult, currency: str) -> Section | None:
    table = tables.thresholds(result, currency)
    if table is None:
        return None
    return Section(
        "What would a simple cut-off earn?",
        [table],
        f"Contacting all customers with at least this churn probability, by {plain(result.chosen)}; the most"
        " profitable cut-off is marked. For comparison only: actions come from the plan, which weighs value, cost,"
        " offer and limits customer by customer.",
    )


def _importance(result: TrainingResult, drawn: Mapping[str, Figure]) -> Section:
    figures = _present(drawn, "permutation_importance", "shap_importance", "coefficients", "search")
    return Section(
        "Which features matter, and which settings were tried?",
        [*figures, tables.recipes(result), *tables.hyperparameters(result)],
    )


def _data(result: TrainingResult) -> Section:
    return Section(
        "Dates and rows",
        [
            tables.rounds(result),
            Text(
                f"Both are measured on {result.refitted.split.calibrated_on}. The refitted pipeline was calibrated on"
                " that date, so its figures are too good; the judged ones count."
            ),
            tables.both_rounds(result),
        ],
        "Only customer-dates without a contact within the churn horizon are used.",
    )


def _present(drawn: Mapping[str, Figure], *names: str) -> Sequence[Figure]:
    return [drawn[name] for name in names if name in drawn]


def training_plots(result: TrainingResult, currency: str = "") -> dict[str, str]:
    """Return the figures as SVG; those without numbers behind them are left out.

    Parameters
    ----------
    currency : str
        Unit of money on the axes.
    """
    diagnostics = result.diagnostics
    drawn = {
        "profit_curve": figures.profit_curve(result, currency),
        "time_line": figures.time_line(result),
        "roc": figures.roc(result),
        "precision_recall": figures.precision_recall(result),
        "reliability": figures.reliability_diagram(result),
        "calibration": figures.before_and_after(result),
    }
    important = diagnostics.importance.get(result.chosen, ())[: figures.SHOWN]
    if any(math.isfinite(row.permutation) for row in important):
        drawn["permutation_importance"] = figures.permutation_importance(important)
    if any(math.isfinite(row.shap) for row in important):
        drawn["shap_importance"] = figures.shap_importance(important)
    if diagnostics.coefficients:
        drawn["coefficients"] = figures.coefficients(diagnostics.coefficients[: figures.SHOWN])
    if any(candidate.search for candidate in diagnostics.candidates.values()):
        drawn["search"] = figures.search_scores(result)
    return drawn


def captions(result: TrainingResult) -> dict[str, str]:
    """Return the question that each figure answers, and how to read it, by name."""
    name = figures.plain(result.chosen)
    bins = figures.reliability_bins(result, result.chosen)
    return {
        "profit_curve": "How many customers are worth contacting? Lines: customers in order of churn probability, each"
        " with its most valuable offer, limits ignored. Points: plans within their limits, ± one standard error, drawn"
        " slightly apart where they contact equally many; thick line and large point: the chosen candidate.",
        "time_line": "Which dates fit, calibrate and judge? Each step lies one churn horizon after the one before, so"
        " that no label reaches into a later step; the refit repeats the recipe one step later and is deployed.",
        "roc": "How many non-churners are contacted to find the churners? Higher is better; the number is the area"
        " under the curve (AUC).",
        "precision_recall": "How many of the contacted are churners? The dashed line is contacting at random; the"
        " number is the average precision.",
        "reliability": f"Does observed churn agree with what {name} predicts? {int(bins.outside.sum())} of"
        f" {len(bins.customers)} bins lie outside the 95 % range of a perfectly calibrated pipeline; by chance one in"
        " twenty does. Below: customers per bin. Axes are stretched near zero.",
        "calibration": _calibration_caption(result),
        "permutation_importance": f"On which features does the ranking of {name} depend? Fall of the AUC when the"
        " values of one feature are shuffled: means, with one standard deviation.",
        "shap_importance": f"Which features move the score of {name} most? Mean size of a feature's contribution (SHAP"
        " value) to the raw score; same order as the permutation importance.",
        "coefficients": "In which direction does each feature move the logistic regression? Right raises churn, left"
        " lowers it.",
        "search": "Did the search for settings matter? One ring per setting tried, the diamond is in use; the declared"
        " setting stays unless another is better by one standard error.",
    }


def _calibration_caption(result: TrainingResult) -> str:
    name = figures.plain(result.chosen)
    changed = (
        "the thin black line is the chosen candidate before calibration"
        if figures.is_recalibrated(result)
        else f"{name} is used as fitted, since no calibration tried was better"
    )
    return (
        "What did calibration change, and how do the candidates compare? Measured on the judged date, which no"
        f" calibration has seen; {changed}. The diagonal is perfect calibration."
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
