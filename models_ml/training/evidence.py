"""What a training found beside its verdicts: the judged rows, each candidate on them, and what it learned from.

Reports, the champion's challenge and MLflow read it; nothing of it is deployed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class FeatureImportance:
    """How much a pipeline leans on one feature.

    ``permutation`` is the drop of the judged AUC when the feature's column is shuffled, ``permutation_sd``
    its spread over shuffles; ``shap`` the mean absolute contribution to the log-odds.
    """

    feature: str
    permutation: float
    permutation_sd: float
    shap: float


@dataclass(frozen=True)
class CandidateEvidence:
    """One candidate on the judged rows, and how it was tuned and calibrated before.

    Attributes
    ----------
    churn_probability, uncalibrated_probability : ndarray of shape (n,)
    contact_value : ndarray of shape (n,), money
        What each row's contact was worth; 0 where the candidate's plan leaves alone.
    thresholds : tuple of dict
        Rows of `models_ml.evaluation.thresholds.threshold_evaluation`.
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
class Evidence:
    """The judged rows and every candidate on them.

    Attributes
    ----------
    has_churned : ndarray of shape (n,), bool
    weight : ndarray of shape (n,), > 0
    segment : ndarray of shape (n,), text, or None where there is no feature ``segment``
    candidates : mapping of candidate to evidence
    importance : mapping of candidate to importances, most important first
        Only the selected candidate: shuffling costs time.
    coefficients : tuple of (column, log-odds per standard deviation)
        Of the logistic regression, largest first; empty where it is no candidate.
    """

    has_churned: np.ndarray
    weight: np.ndarray
    segment: np.ndarray | None
    candidates: Mapping[str, CandidateEvidence]
    importance: Mapping[str, tuple[FeatureImportance, ...]]
    coefficients: tuple[tuple[str, float], ...]
