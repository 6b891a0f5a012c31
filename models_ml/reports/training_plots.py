"""Every figure of a training by name, as the page and MLflow keep them."""

from __future__ import annotations

import math

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
        "roc": judged.roc(result),
        "precision_recall": judged.precision_recall(result),
        "reliability": judged.reliability_diagram(result),
        "calibration": judged.before_and_after(result),
        "time_line": learning.time_line(result),
    }
    if all(candidate.thresholds for candidate in evidence.candidates.values()):
        drawn["profit_curve"] = judged.profit_curve(result, currency)
    if any(candidate.search for candidate in evidence.candidates.values()):
        drawn["search"] = learning.search_scores(result)
    important = evidence.importance.get(result.chosen, ())[: learning.SHOWN]
    if important:
        drawn["permutation_importance"] = learning.permutation_importance(important)
    if any(math.isfinite(row.shap) for row in important):
        drawn["shap_importance"] = learning.shap_importance(important)
    if evidence.coefficients:
        drawn["coefficients"] = learning.coefficients(evidence.coefficients[: learning.SHOWN])
    return drawn
