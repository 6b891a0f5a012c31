"""The tables of the training page: candidates, cut-offs, calibration, segments, search, guardrails, dates and rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from models_ml.deployment.challenge import Selection, perfect_range
from models_ml.evaluation.metrics import calibration_ratio
from models_ml.reports.figures import money, share
from models_ml.reports.page import Table, Text, on_one_line
from models_ml.reports.training_figures import plain
from models_ml.training.stage import TrainingResult

THRESHOLDS_SHOWN = 11
# Metrics that candidates are compared by: short name, name in full, digits that tell candidates apart.
METRICS = {
    "auc": ("AUC", "AUC", 3),
    "auc_without_notice": ("AUC rest", "AUC without customers who had given notice", 3),
    "average_precision": ("AP", "average precision", 3),
    "log_loss": ("log-loss", "log-loss", 3),
    "lift": ("lift", "churn rate of the riskiest customers over that of all", 2),
    "empc": ("EMPC", "expected maximum profit per customer (published measure)", 2),
    "calibration_error": ("ECE", "expected calibration error", 3),
    "calibration_ratio": ("ratio", "predicted over observed churn (1 is right)", 3),
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


def one_line(name: str) -> str:
    """Return a name as words that stay on one line."""
    return plain(name).replace(" ", "\u00a0")


def candidates(result: TrainingResult, currency: str) -> Table:
    """Return one row per candidate, the chosen one marked."""
    names = list(result.verdicts)
    rows = []
    for name in names:
        verdict = result.verdicts[name]
        profit = verdict.profit
        rows.append(
            [
                one_line(name),
                with_error(profit.profit, profit.standard_error),
                with_error(profit.shortfall, profit.shortfall_standard_error) if profit.shortfall else "–",
                f"{verdict.planned_contacts:,}",
                number(verdict.planned_cost, 0),
                *(number(verdict.metrics.get(metric), digits) for metric, (_, _, digits) in METRICS.items()),
            ]
        )
    labels = [label for label, _, _ in METRICS.values()]
    columns = ("candidate", f"profit, {currency}", "shortfall", "contacts", "cost", *labels)
    return Table(columns, rows, highlight=names.index(result.chosen))


def abbreviations() -> str:
    """Return what the columns of `candidates` mean."""
    meanings = "; ".join(f"{label}: {meaning}" for label, meaning, _ in METRICS.values() if label != meaning)
    return f"Simplest candidate first; ± one standard error; shortfall: profit below the best candidate. {meanings}."


def thresholds(result: TrainingResult, currency: str) -> Table | None:
    """Return cut-offs of the chosen candidate, the most profitable marked; None where none reaches anybody."""
    rows = [
        row for row in result.diagnostics.candidates[result.chosen].thresholds if row["contacted_share"] > 0
    ]
    if not rows:
        return None
    best = max(range(len(rows)), key=lambda i: rows[i]["profit"])
    spread = np.round(np.linspace(0, len(rows) - 1, min(THRESHOLDS_SHOWN, len(rows)))).astype(int)
    kept = sorted({*spread.tolist(), best})
    cells = [
        [
            *(share(rows[i][part]) for part in ("threshold", "contacted_share", "precision", "recall")),
            money(rows[i]["profit"], currency),
        ]
        for i in kept
    ]
    columns = ("cut\u2011off", "contacted", "churners among them", "churners found", "judged profit")
    return Table(columns, cells, highlight=kept.index(best))


_CALIBRATION_PARTS = (
    "brier", "brier_reliability", "brier_resolution", "log_loss", "calibration_error", "mean_predicted",
    "mean_observed",
)  # fmt: skip


def calibration_methods(result: TrainingResult) -> Table | None:
    """Return every calibration tried per candidate, the one in use of the chosen candidate marked."""
    rows: list[list[str]] = []
    marked = None
    for name in result.verdicts:
        for tried in result.diagnostics.candidates[name].calibration:
            if tried["is_chosen"] and name == result.chosen:
                marked = len(rows)
            rows.append(_method(name, tried))
    columns = (
        "candidate", "method", "state", "Brier", "reliability", "resolution", "log-loss", "ECE",
        "predicted", "observed", "ratio",
    )  # fmt: skip
    return Table(columns, rows, highlight=marked) if rows else None


def _method(name: str, tried: dict[str, Any]) -> list[str]:
    return [
        one_line(name),
        "none" if tried["method"] == "none" else tried["method"],
        "in\u00a0use" if tried["is_chosen"] else "",
        *(number(tried[part], 4) for part in _CALIBRATION_PARTS),
        number(tried["calibration_ratio"]),
    ]


def perfect_words(churn_probability: np.ndarray, weight: np.ndarray) -> str:
    """Return the 95 % range of `perfect_range` as words that stay on one line.

    Examples
    --------
    >>> perfect_words(np.full(10_000, 0.1), np.ones(10_000)).replace("\u00a0", " ")
    '0.94 to 1.06'
    >>> perfect_words(np.full(20, 0.1), np.ones(20)).replace("\u00a0", " ")
    '0.43 or more'
    """
    low, high = perfect_range(churn_probability, weight)
    words = f"{number(low, 2)} to {number(high, 2)}" if math.isfinite(high) else f"{number(low, 2)} or more"
    return words.replace(" ", "\u00a0")


def segments(result: TrainingResult, currency: str) -> Table | None:
    """Return how the chosen candidate does per segment; None where the source has no segments."""
    names = result.diagnostics.segment
    if names is None:
        return None
    rows = [
        [str(name or "(none)"), *_segment(result, names == name, currency)]
        for name in sorted(set(names.tolist()), key=str)
    ]
    columns = (
        "segment", "customers", "churners", "predicted", "ratio", "range if perfect", "AUC", "judged profit"
    )  # fmt: skip
    return Table(columns, rows)


def _segment(result: TrainingResult, inside: np.ndarray, currency: str) -> list[str]:
    chosen = result.diagnostics.candidates[result.chosen]
    churned, weight = result.diagnostics.has_churned[inside], result.diagnostics.weight[inside]
    probability = chosen.churn_probability[inside]
    mixed = 0 < churned.sum() < len(churned)
    return [
        f"{len(churned):,}",
        f"{(weight * churned).sum():,.1f}",
        f"{(weight * probability).sum():,.1f}",
        number(calibration_ratio(churned, probability, weight=weight) if churned.any() else None),
        perfect_words(probability, weight),
        number(float(roc_auc_score(churned, probability, sample_weight=weight)) if mixed else None),
        money(float(chosen.contact_value[inside].sum()), currency),
    ]


def recipes(result: TrainingResult) -> Table:
    """Return what the search tried, one row per candidate."""
    names = list(result.verdicts)
    rows = []
    for name in names:
        tried = result.diagnostics.candidates[name].search
        rows.append(
            [
                one_line(name),
                f"{len(tried)}",
                number(sum(row["seconds"] for row in tried), 1),
                "declared setting" if not tried or tried[0]["is_chosen"] else "setting found",
            ]
        )
    columns = ("candidate", "settings tried", "seconds", "in use")
    return Table(columns, rows, highlight=names.index(result.chosen))


def hyperparameters(result: TrainingResult) -> list[Text]:
    """Return the hyper-parameters in use, one paragraph per candidate: they are too long for a narrow table."""
    paragraphs = []
    for name, recipe in result.recipes.items():
        values = ", ".join(f"{key}\u00a0{value:g}" for key, value in recipe.items())
        paragraphs.append(Text(f"{plain(name).capitalize()}: {values}."))
    return paragraphs


def guardrails(selection: Selection) -> Table | None:
    """Return each guardrail with its bounds and whether it holds; None where none was measured."""
    rows = [
        [
            one_line(rail.name),
            "holds" if rail.passes else "FAILS",
            number(rail.value),
            _bounds(rail.low, rail.high),
        ]
        for rail in selection.guardrails
    ]
    return Table(("guardrail", "state", "value", "allowed"), rows) if rows else None


def _bounds(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "any"
    if low is None:
        words = f"at most {number(high)}"
    else:
        words = f"at least {number(low)}" if high is None else f"{number(low)} to {number(high)}"
    return words.replace(" ", "\u00a0")


def rounds(result: TrainingResult) -> Table:
    """Return the dates and rows that each step read."""
    rows = []
    for name, fitted in (("judged", result.judged), ("refitted", result.refitted)):
        split = fitted.split
        steps = [("fit", split.fit_on, fitted.fit_rows)]
        method = fitted.pipelines[result.chosen].calibrator.method
        steps.append((f"calibrate: {method}", (split.calibrated_on,), fitted.calibration_rows))
        if split.judged_on:
            steps.append(("judge", (split.judged_on,), result.judged_rows))
        rows += [
            [name, step, on_one_line(min(days)), on_one_line(max(days)), f"{count:,}"]
            for step, days, count in steps
        ]
    return Table(("round", "step", "from", "to", "customer-dates"), rows)


def both_rounds(result: TrainingResult) -> Table:
    """Return the metrics of the judged pipeline beside those of the refitted one."""
    judged = result.verdicts[result.chosen].metrics
    rows = [
        [meaning, number(judged.get(name), 4), number(result.refit_metrics.get(name), 4)]
        for name, (_, meaning, _) in METRICS.items()
        if name in result.refit_metrics
    ]
    return Table(("metric", "judged", "refitted"), rows)
