"""Tables of the training run: search, guardrails, dates and rows, metrics of both rounds."""

from __future__ import annotations

from datetime import date

from models_ml.deployment.challenge import Selection
from models_ml.reports.page import Table, Text
from models_ml.reports.training_figures import plain
from models_ml.reports.training_tables import METRICS, number, one_line
from models_ml.training.stage import TrainingResult


def recipes(result: TrainingResult) -> Table:
    """Return what the search tried, one row per candidate."""
    names = list(result.verdicts)
    rows = []
    for name in names:
        tried = result.evidence.candidates[name].search
        rows.append(
            [
                one_line(name),
                f"{len(tried)}",
                number(sum(row["seconds"] for row in tried), 1),
                "declared" if not tried or tried[0]["is_chosen"] else "another",
            ]
        )
    columns = ("candidate", "tried", "seconds", "in use")
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
    return Table(("guardrail", "", "value", "allowed"), rows) if rows else None


def _bounds(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "any"
    if low is None:
        words = f"at most {number(high)}"
    else:
        words = f"at least {number(low)}" if high is None else f"{number(low)} to {number(high)}"
    return words.replace(" ", "\u00a0")


def rounds(result: TrainingResult) -> Table:
    """Return which dates and rows each step read."""
    rows = []
    for name, fitted in (("judged", result.judged), ("refitted", result.refitted)):
        split = fitted.split
        steps = [("fit", split.fit_on, fitted.fit_rows)]
        method = fitted.pipelines[result.chosen].calibrator.method
        steps.append((f"calibrate: {method}", (split.calibrated_on,), fitted.calibration_rows))
        if split.judged_on:
            steps.append(("judge", (split.judged_on,), result.judged_rows))
        rows += [[name, step, _day(min(days)), _day(max(days)), f"{count:,}"] for step, days, count in steps]
    return Table(("round", "step", "from", "to", "customer-dates"), rows)


def _day(day: date) -> str:
    """Return a date that stays on one line."""
    return str(day).replace("-", "\u2011")


def both_rounds(result: TrainingResult) -> Table:
    """Return the metrics of the judged pipeline beside those of the refitted one."""
    judged = result.verdicts[result.chosen].metrics
    rows = [
        [meaning, number(judged.get(name), 4), number(result.refit_metrics.get(name), 4)]
        for name, (_, meaning, _) in METRICS.items()
        if name in result.refit_metrics
    ]
    return Table(("metric", "judged", "refitted"), rows)
