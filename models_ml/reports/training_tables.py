"""The tables of a training report; cells are ready-made text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from models_ml.evaluation.metrics import calibration_ratio
from models_ml.reports.figures import money, share
from models_ml.reports.page import Table
from models_ml.reports.training_figures import plain
from models_ml.training.challenge import Selection
from models_ml.training.stage import Round, TrainingResult

THRESHOLDS_SHOWN = 11
# What a reader compares; the rest stands in model_comparison.csv.
_METRICS = {
    "auc": "AUC",
    "average_precision": "average precision",
    "log_loss": "log-loss",
    "brier": "Brier",
    "lift": "lift",
    "empc": "EMPC",
    "calibration_error": "calibration error",
    "calibration_ratio": "calibration ratio",
}


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with fixed digits, a dash where there is none.

    Examples
    --------
    >>> number(0.12345), number(float("nan")), number(-1.5, 1)
    ('0.123', '–', '−1.5')
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.{digits}f}".replace("-", "−")


def with_error(amount: float, standard_error: float) -> str:
    """Return an amount with its standard error.

    Examples
    --------
    >>> with_error(1234.5, 56.7), with_error(-1234.5, 56.7)
    ('1,234 ± 57', '−1,234 ± 57')
    """
    return f"{number(amount, 0)} ± {number(standard_error, 0)}"


def candidates(result: TrainingResult, currency: str) -> Table:
    """Return one row per candidate, the chosen one marked."""
    names = list(result.verdicts)
    metrics = {name: label for name, label in _METRICS.items() if name != "brier"}
    rows = []
    for name in names:
        verdict = result.verdicts[name]
        profit = verdict.profit
        rows.append(
            [
                plain(name),
                with_error(profit.profit, profit.standard_error),
                with_error(profit.shortfall, profit.shortfall_standard_error) if profit.shortfall else "best",
                f"{verdict.planned_contacts:,}",
                number(verdict.planned_cost, 0),
                *(
                    number(verdict.metrics[metric], 2 if metric in ("lift", "empc") else 3)
                    for metric in metrics
                ),
            ]
        )
    columns = ("candidate", "judged profit", "shortfall", "contacts", "cost", *metrics.values())
    return Table(
        columns,
        rows,
        f"Simplest first; money in {currency}, ± one standard error. EMPC is money per customer.",
        names.index(result.chosen),
    )


def thresholds(result: TrainingResult, currency: str) -> Table:
    """Return cut-offs of the chosen candidate, the most profitable marked."""
    rows = list(result.evidence.candidates[result.chosen].thresholds)
    best = max(range(len(rows)), key=lambda i: rows[i]["profit"])
    spread = np.round(np.linspace(0, len(rows) - 1, min(THRESHOLDS_SHOWN, len(rows)))).astype(int)
    kept = sorted({*spread.tolist(), best})
    cells = [
        [
            share(rows[i]["threshold"]),
            share(rows[i]["contacted_share"]),
            share(rows[i]["precision"]),
            share(rows[i]["recall"]),
            money(rows[i]["profit"], currency),
        ]
        for i in kept
    ]
    columns = ("churn probability from", "contacted", "of them churn", "churners found", "judged profit")
    return Table(
        columns, cells, f"{plain(result.chosen).capitalize()}; most profitable marked.", kept.index(best)
    )


def calibration_methods(result: TrainingResult) -> Table:
    """Return every calibration tried per candidate; the one in use of the chosen candidate is marked."""
    rows, marked = [], None
    for name in result.verdicts:
        for tried in result.evidence.candidates[name].calibration:
            if tried["is_chosen"] and name == result.chosen:
                marked = len(rows)
            rows.append(
                [
                    plain(name),
                    tried["method"],
                    "in use" if tried["is_chosen"] else "",
                    number(tried["brier"], 4),
                    number(tried["log_loss"], 4),
                    number(tried["calibration_error"], 4),
                    number(tried["calibration_ratio"]),
                ]
            )
    columns = ("candidate", "method", "", "Brier", "log-loss", "calibration error", "calibration ratio")
    return Table(
        columns, rows, "On the calibration date, each method fitted without the rows it is tried on.", marked
    )


def recipes(result: TrainingResult) -> Table:
    """Return the hyper-parameters in use, one row per candidate."""
    names = list(result.verdicts)
    rows = [
        [
            plain(name),
            str(len(result.evidence.candidates[name].search)),
            number(sum(row["seconds"] for row in result.evidence.candidates[name].search), 1),
            ", ".join(f"{key} {value:g}" for key, value in result.recipes[name].items()),
        ]
        for name in names
    ]
    columns = ("candidate", "settings tried", "seconds", "in use")
    return Table(columns, rows, highlight=names.index(result.chosen))


def segments(result: TrainingResult, currency: str) -> Table | None:
    """Return how the chosen candidate does per segment; None where the source has no segments."""
    evidence = result.evidence
    if evidence.segment is None:
        return None
    chosen = evidence.candidates[result.chosen]
    rows = []
    for segment in sorted(set(evidence.segment.tolist()), key=str):
        inside = evidence.segment == segment
        churned, weight = evidence.has_churned[inside], evidence.weight[inside]
        probability = chosen.churn_probability[inside]
        mixed = 0 < churned.sum() < len(churned)
        rows.append(
            [
                str(segment) if segment is not None else "(none)",
                f"{int(inside.sum()):,}",
                share(float(np.average(churned, weights=weight))),
                share(float(np.average(probability, weights=weight))),
                number(calibration_ratio(churned, probability, weight=weight) if churned.any() else None),
                number(float(roc_auc_score(churned, probability, sample_weight=weight)) if mixed else None),
                money(float(chosen.contact_value[inside].sum()), currency),
            ]
        )
    columns = ("segment", "customers", "churned", "forecast", "calibration ratio", "AUC", "judged profit")
    return Table(columns, rows, f"{plain(result.chosen).capitalize()} on the judged date.")


def guardrails(selection: Selection) -> Table:
    """Return each guardrail with its bounds and whether it holds."""
    rows = [
        [
            plain(rail.name),
            number(rail.value),
            f"{number(rail.low)} to {number(rail.high)}",
            "holds" if rail.passes else "FAILS",
            rail.note,
        ]
        for rail in selection.guardrails
    ]
    return Table(("guardrail", "value", "allowed", "", "note"), rows)


def rounds(result: TrainingResult) -> Table:
    """Return which dates and rows each step read."""
    rows = []
    for name, fitted in (("judged", result.judged), ("deployed", result.refitted)):
        split = fitted.split
        rows.append([name, "fit", f"{min(split.fit_on)} to {max(split.fit_on)}", f"{fitted.fit_rows:,}"])
        rows.append([name, "calibrate", str(split.calibrated_on), f"{fitted.calibration_rows:,}"])
        if split.judged_on:
            rows.append([name, "judge", str(split.judged_on), f"{result.judged_rows:,}"])
    return Table(("round", "step", "as-of dates", "customer-dates"), rows)


def both_rounds(result: TrainingResult) -> Table:
    """Return the metrics of the judged pipeline beside those of the refitted one."""
    judged: Mapping[str, Any] = result.verdicts[result.chosen].metrics
    rows = [
        [label, number(judged.get(name), 4), number(result.refit_metrics.get(name), 4)]
        for name, label in _METRICS.items()
        if name in result.refit_metrics
    ]
    return Table(
        (
            "metric",
            f"judged on {_judged_on(result.judged)}",
            f"refitted, on {result.refitted.split.calibrated_on}",
        ),
        rows,
        "The refitted pipeline is calibrated on the date it is measured on: its figures flatter it.",
    )


def _judged_on(fitted: Round) -> str:
    return str(fitted.split.judged_on)
