"""Diagnostics of a training for reports: the judged rows, feature importance, coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.inspection import permutation_importance
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from models_ml.training.candidates import one_thread
from models_ml.training.contributions import log_odds_contributions
from models_ml.training.examples import Examples
from models_ml.training.pipeline import ChurnPipeline, raw_score
from models_ml.training.settings import TrainingSettings


@dataclass(frozen=True)
class FeatureImportance:
    """Importance of one feature for a pipeline.

    ``permutation`` is the drop of the judged AUC when the feature's column is shuffled, ``permutation_sd``
    its spread over shuffles; ``shap`` the mean absolute contribution to the log-odds.
    """

    feature: str
    permutation: float
    permutation_sd: float
    shap: float


@dataclass(frozen=True)
class CandidateDiagnostics:
    """One candidate on the judged rows, and how it was tuned and calibrated before.

    Attributes
    ----------
    churn_probability, uncalibrated_probability : ndarray of shape (n,)
    contact_value : ndarray of shape (n,), money
        What the contact of each row was worth; 0 where the candidate's plan makes none.
    thresholds : tuple of dict
        Rows of `models_ml.evaluation.metrics.threshold_evaluation`.
    calibration : tuple of dict
        One per method tried, on the calibration rows; ``is_chosen`` marks the one in use.
    search : tuple of dict
        One per setting tried; ``is_chosen`` marks the one in use.
    """

    churn_probability: np.ndarray
    uncalibrated_probability: np.ndarray
    contact_value: np.ndarray
    thresholds: tuple[dict[str, float], ...]
    calibration: tuple[dict[str, Any], ...]
    search: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class TrainingDiagnostics:
    """The judged rows and every candidate on them.

    Attributes
    ----------
    has_churned : ndarray of shape (n,), bool
    weight : ndarray of shape (n,), > 0
    segment : ndarray of shape (n,), text, or None where there is no feature ``segment``
    candidates : mapping of candidate to diagnostics
    importance : mapping of candidate to importances, most important first
        Only the selected candidate: shuffling costs time.
    coefficients : tuple of (column, log-odds per standard deviation)
        Of the logistic regression, largest first; empty where it is no candidate.
    """

    has_churned: np.ndarray
    weight: np.ndarray
    segment: np.ndarray | None
    candidates: Mapping[str, CandidateDiagnostics]
    importance: Mapping[str, tuple[FeatureImportance, ...]]
    coefficients: tuple[tuple[str, float], ...]


def feature_importance(
    pipeline: ChurnPipeline, examples: Examples, settings: TrainingSettings
) -> tuple[FeatureImportance, ...]:
    """Return every feature's importance on these rows, most important first.

    Shuffling uses at most ``importance.shuffled_rows_at_most`` rows, churners first up to half of them: the AUC
    compares churners with stayers, so it does not depend on how many of each there are. Two features that repeat
    each other each appear less important than they are together. Drops are 0 where one class is missing.
    """
    rules = settings.importance
    matrix = pipeline.encoder.encode(examples.features)
    random = np.random.default_rng(settings.seed)
    explained = _drawn(np.arange(len(matrix)), rules.explained_rows_at_most, random)
    rows = _both_classes(examples.has_churned, rules.shuffled_rows_at_most, random)
    names = pipeline.encoder.schema.names
    dropped = spread = np.zeros(len(names))
    with one_thread():
        contributions = np.abs(log_odds_contributions(pipeline, matrix[explained])).mean(axis=0)
        if 0 < examples.has_churned.sum() < len(matrix):
            shuffled = permutation_importance(
                pipeline.estimator,
                matrix[rows],
                examples.has_churned[rows],
                scoring=_auc,
                n_repeats=rules.shuffles,
                n_jobs=1,
                random_state=settings.seed,
                sample_weight=examples.example_weight[rows],
            )
            dropped, spread = shuffled.importances_mean, shuffled.importances_std
    found = [
        FeatureImportance(name, float(drop), float(sd), float(shap))
        for name, drop, sd, shap in zip(names, dropped, spread, contributions, strict=True)
    ]
    return tuple(sorted(found, key=lambda of: (-of.permutation, -of.shap, of.feature)))


def coefficients(pipelines: Mapping[str, ChurnPipeline]) -> tuple[tuple[str, float], ...]:
    """Return the linear candidate's columns and coefficients, largest first; empty where there is none.

    Columns are standardised: a coefficient is log-odds per standard deviation.
    """
    for pipeline in pipelines.values():
        last = pipeline.estimator.named_steps["estimator"]
        if hasattr(last, "coef_"):
            names = _column_names(pipeline)
            pairs = zip(names, (float(value) for value in last.coef_[0]), strict=True)
            return tuple(sorted(pairs, key=lambda pair: (-abs(pair[1]), pair[0])))
    return ()


def _column_names(pipeline: ChurnPipeline) -> list[str]:
    """Name prepared columns: the feature, "… is missing", "… = category"."""
    encoder, columns = pipeline.encoder, pipeline.estimator.named_steps["columns"]
    found: list[str] = []
    for kind, transformer, positions in columns.transformers_:
        features = [encoder.schema.names[position] for position in positions]
        if kind == "numeric" and features:
            indicators = transformer.named_steps["simpleimputer"].indicator_.features_
            found += features + [f"{features[i]} is missing" for i in indicators]
        elif kind == "categorical" and features:
            found += [f"{name} = {value}" for name in features for value in encoder.categories[name]]
    return found


def _auc(estimator: Pipeline, matrix: np.ndarray, churned: np.ndarray, sample_weight: np.ndarray) -> float:
    return float(roc_auc_score(churned, raw_score(estimator, matrix), sample_weight=sample_weight))


def _both_classes(has_churned: np.ndarray, at_most: int, random: np.random.Generator) -> np.ndarray:
    """Return rows to shuffle: churners up to half of ``at_most``, stayers for the rest, in their order."""
    if not at_most or len(has_churned) <= at_most:
        return np.arange(len(has_churned))
    churners = _drawn(np.flatnonzero(has_churned), at_most // 2, random)
    stayers = _drawn(np.flatnonzero(~has_churned), at_most - len(churners), random)
    return np.sort(np.concatenate([churners, stayers]))


def _drawn(rows: np.ndarray, at_most: int, random: np.random.Generator) -> np.ndarray:
    return rows if not at_most or len(rows) <= at_most else random.choice(rows, at_most, replace=False)
