"""Every figure of a training by name, as the page and MLflow keep them, and the question each answers."""

from __future__ import annotations

import math

from models_ml.reports import training_calibration_figures as calibration
from models_ml.reports import training_figures as judged
from models_ml.reports import training_learning_figures as learning
from models_ml.training.stage import TrainingResult


def training_plots(result: TrainingResult, currency: str = "") -> dict[str, str]:
    """Return the figures as SVG; those without numbers behind them are left out.

    Parameters
    ----------
    currency : str
        Unit of money on the axes.
    """
    evidence = result.evidence
    drawn = {
        "profit_curve": judged.profit_curve(result, currency),
        "time_line": learning.time_line(result),
        "roc": judged.roc(result),
        "precision_recall": judged.precision_recall(result),
        "reliability": calibration.reliability_diagram(result),
        "calibration": calibration.before_and_after(result),
    }
    important = evidence.importance.get(result.chosen, ())[: learning.SHOWN]
    if any(math.isfinite(row.permutation) for row in important):
        drawn["permutation_importance"] = learning.permutation_importance(important)
    if any(math.isfinite(row.shap) for row in important):
        drawn["shap_importance"] = learning.shap_importance(important)
    if evidence.coefficients:
        drawn["coefficients"] = learning.coefficients(evidence.coefficients[: learning.SHOWN])
    if any(candidate.search for candidate in evidence.candidates.values()):
        drawn["search"] = learning.search_scores(result)
    return drawn


def captions(result: TrainingResult) -> dict[str, str]:
    """Return the question that each figure answers, and how to read it, by name."""
    name = judged.plain(result.chosen)
    bins = calibration.reliability_bins(result, result.chosen)
    return {
        "profit_curve": "How many customers are worth contacting? Lines: the riskiest first, each with the offer"
        " worth most, limits ignored. Points: plans within their limits, ± one standard error, set slightly apart"
        " where they contact equally many; the thick line and the large point are the chosen candidate.",
        "time_line": "On which dates was it learned, and on which judged? Each step lies a horizon after the one"
        " before, so that no label peeks ahead; the refit repeats the recipe with the newest dates, to be deployed.",
        "roc": "How many churners are found for the stayers disturbed? Higher is better; the number is the area"
        " below (AUC).",
        "precision_recall": "How many of the contacted would really leave? The dashed line is contacting at"
        " random; the number is the average precision.",
        "reliability": f"Does {name} mean what it says? {int(bins.outside.sum())} of {len(bins.customers)} bins lie"
        " outside the range of a perfect forecast; by chance one in twenty does. Below: customers per bin. Axes"
        " are stretched near zero.",
        "calibration": _calibration_caption(result),
        "permutation_importance": f"Without which features would {name} rank worse? Bars are means of shuffles,"
        " whiskers one standard deviation.",
        "shap_importance": f"Which features move the score of {name} most? The order is that of the permutation"
        " importance, so that the two views compare.",
        "coefficients": "Which way does each feature push in the logistic regression? Right raises churn, left"
        " lowers it.",
        "search": "Did tuning matter? One ring per setting tried, the diamond is in use; the declared setting"
        " stays unless another is better by a standard error.",
    }


def _calibration_caption(result: TrainingResult) -> str:
    name = judged.plain(result.chosen)
    changed = (
        "the thin black line is the chosen candidate before its curve"
        if calibration.is_recalibrated(result)
        else f"{name} is judged as fitted, since no curve tried was better"
    )
    return (
        f"What did calibration change, and do others come truer? Measured on the judged date, which no curve has"
        f" seen; {changed}. The diagonal is a perfect forecast."
    )
