"""Calibration: from a raw score to a churn probability, by a curve fitted on a later date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from models_ml.evaluation.metrics import (
    brier_decomposition,
    calibration_ratio,
    expected_calibration_error,
    row_log_loss,
)
from models_ml.training.candidates import one_thread
from models_ml.training.settings import TrainingSettings

# Nearly unpenalised: the two numbers of a sigmoid need no shrinkage, yet stay finite on separable data.
SIGMOID_INVERSE_REGULARISATION = 1e4


class Calibrator(Protocol):
    """A monotone curve from log-odds to churn probability."""

    @property
    def method(self) -> str:
        """Name of the curve."""

    def apply(self, log_odds: np.ndarray) -> np.ndarray:
        """Return churn probabilities in (0, 1), shape as given."""


@dataclass(frozen=True)
class NoCalibrator:
    """The estimator's own probability, kept off certainty.

    Examples
    --------
    >>> NoCalibrator(floor=1e-6).apply(np.array([0.0, 50.0]))
    array([0.5     , 0.999999])
    """

    floor: float
    method: str = "none"

    def apply(self, log_odds: np.ndarray) -> np.ndarray:
        """Return churn probabilities in [floor, 1 - floor]."""
        return np.clip(expit(log_odds), self.floor, 1 - self.floor)


@dataclass(frozen=True)
class SigmoidCalibrator:
    """Platt scaling: logit p = slope · score + intercept, with a slope of 0 or above.

    Examples
    --------
    >>> SigmoidCalibrator(slope=1.0, intercept=0.0, floor=1e-6).apply(np.array([0.0]))
    array([0.5])
    """

    slope: float
    intercept: float
    floor: float
    method: str = "sigmoid"

    def apply(self, log_odds: np.ndarray) -> np.ndarray:
        """Return churn probabilities in [floor, 1 - floor]."""
        return np.clip(expit(self.slope * log_odds + self.intercept), self.floor, 1 - self.floor)


@dataclass(frozen=True)
class IsotonicCalibrator:
    """Isotonic regression, straight lines between its steps.

    Examples
    --------
    >>> IsotonicCalibrator(np.array([0.0, 1.0]), np.array([0.1, 0.3]), floor=1e-6).apply(np.array([-5, 0.5]))
    array([0.1, 0.2])
    """

    scores: np.ndarray
    probabilities: np.ndarray
    floor: float
    method: str = "isotonic"

    def apply(self, log_odds: np.ndarray) -> np.ndarray:
        """Return churn probabilities in [floor, 1 - floor]."""
        return np.clip(np.interp(log_odds, self.scores, self.probabilities), self.floor, 1 - self.floor)


def fit_calibrator(
    method: str, log_odds: np.ndarray, has_churned: np.ndarray, weight: np.ndarray, *, floor: float
) -> Calibrator:
    """Fit one curve.

    Parameters
    ----------
    method : ``none``, ``sigmoid`` or ``isotonic``
    log_odds : ndarray of shape (n,)
    has_churned : ndarray of shape (n,), bool, both values present
    weight : ndarray of shape (n,), > 0
    floor : float
        How close to 0 and 1 a probability may come.
    """
    if method == "none":
        return NoCalibrator(floor)
    if method == "isotonic":
        curve = IsotonicRegression(out_of_bounds="clip").fit(log_odds, has_churned, sample_weight=weight)
        return IsotonicCalibrator(curve.X_thresholds_, curve.y_thresholds_, floor)
    line = LogisticRegression(C=SIGMOID_INVERSE_REGULARISATION, max_iter=1000)
    with one_thread():
        line.fit(log_odds[:, None], has_churned, sample_weight=weight)
    if (
        line.coef_[0, 0] < 0
    ):  # by chance of a weak ranking: turned round, scores would contradict their reasons
        return SigmoidCalibrator(0.0, float(logit(np.average(has_churned, weights=weight))), floor)
    return SigmoidCalibrator(float(line.coef_[0, 0]), float(line.intercept_[0]), floor)


@dataclass(frozen=True)
class ChosenCalibration:
    """The curve in use, fitted on all rows, and what each method tried did on rows it had not seen."""

    calibrator: Calibrator
    trials: tuple[dict[str, Any], ...]


def choose_calibration(
    log_odds: np.ndarray, has_churned: np.ndarray, weight: np.ndarray, settings: TrainingSettings
) -> ChosenCalibration:
    """Choose and fit the curve.

    Isotonic is tried from ``isotonic_from_churners`` churners on. With fewer than two rows of a class nothing
    can be compared, and the first method is fitted.

    Parameters
    ----------
    log_odds : ndarray of shape (n,)
    has_churned : ndarray of shape (n,), bool, both values present
    weight : ndarray of shape (n,), > 0
    """
    rules = settings.calibration
    methods: list[str] = [
        method
        for method in rules.methods
        if method != "isotonic" or has_churned.sum() >= rules.isotonic_from_churners
    ]
    folds = _folds(has_churned, rules.folds, settings.seed)
    if folds is None:
        methods = methods[:1]
    unseen = {
        method: _unseen(method, log_odds, has_churned, weight, folds, rules.probability_floor)
        for method in methods
    }
    losses = {method: weight * row_log_loss(has_churned, unseen[method]) for method in methods}
    chosen = first_unless_better(losses)
    trials = tuple(
        {
            "method": method,
            "is_chosen": method == chosen,
            **_measures(has_churned, unseen[method], weight, settings),
            **_gain(losses[methods[0]], losses[method], weight),
        }
        for method in methods
    )
    calibrator = fit_calibrator(chosen, log_odds, has_churned, weight, floor=rules.probability_floor)
    return ChosenCalibration(calibrator, trials)


def first_unless_better(losses: Mapping[str, np.ndarray]) -> str:
    """Return the first name, or the best of those whose mean loss is lower by more than a standard error.

    Parameters
    ----------
    losses : mapping of name to ndarray of shape (n,)
        Weighted loss of each row, the same rows in the same order.

    Examples
    --------
    >>> losses = {"plain": np.array([1.0, 1.0, 1.0, 1.0]), "lucky": np.array([0.0, 1.5, 0.5, 1.5])}
    >>> first_unless_better(losses)
    'plain'
    >>> first_unless_better(losses | {"better": np.array([0.6, 0.5, 0.4, 0.5])})
    'better'
    """
    kept, *others = losses
    better = [name for name in others if _is_better(losses[kept] - losses[name])]
    return min(better, key=lambda name: float(losses[name].sum()), default=kept)


def _is_better(gain: np.ndarray) -> bool:
    return bool(gain.sum() > gain.std() * np.sqrt(len(gain)))


def _gain(kept: np.ndarray, tried: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    gain, total = kept - tried, float(weight.sum())
    return {
        "log_loss_gain": float(gain.sum()) / total,
        "log_loss_gain_standard_error": float(gain.std() * np.sqrt(len(gain))) / total,
    }


def _folds(has_churned: np.ndarray, folds: int, seed: int) -> np.ndarray | None:
    """Return each row's fold, churners and stayers dealt out evenly; None where a class is too rare."""
    dealt = min(folds, int(has_churned.sum()), int((~has_churned).sum()))
    if dealt < 2:
        return None
    random = np.random.default_rng(seed)
    fold = np.empty(len(has_churned), dtype=int)
    for value in (False, True):
        rows = np.flatnonzero(has_churned == value)
        fold[random.permutation(rows)] = np.arange(len(rows)) % dealt
    return fold


def _unseen(
    method: str,
    log_odds: np.ndarray,
    has_churned: np.ndarray,
    weight: np.ndarray,
    folds: np.ndarray | None,
    floor: float,
) -> np.ndarray:
    """Return every row's probability by a curve fitted without its fold."""
    if folds is None:
        return fit_calibrator(method, log_odds, has_churned, weight, floor=floor).apply(log_odds)
    probability = np.empty(len(log_odds))
    for fold in range(folds.max() + 1):
        out = folds == fold
        curve = fit_calibrator(method, log_odds[~out], has_churned[~out], weight[~out], floor=floor)
        probability[out] = curve.apply(log_odds[out])
    return probability


def _measures(
    has_churned: np.ndarray, probability: np.ndarray, weight: np.ndarray, settings: TrainingSettings
) -> dict[str, float]:
    bins = settings.judging.calibration_bins
    parts = brier_decomposition(has_churned, probability, bins=bins, weight=weight)
    return {
        "log_loss": float(np.average(row_log_loss(has_churned, probability), weights=weight)),
        "brier": float(np.average((probability - has_churned) ** 2, weights=weight)),
        "brier_reliability": parts.reliability,
        "brier_resolution": parts.resolution,
        "brier_uncertainty": parts.uncertainty,
        "calibration_error": expected_calibration_error(has_churned, probability, bins=bins, weight=weight),
        "calibration_ratio": calibration_ratio(has_churned, probability, weight=weight),
        "mean_predicted": float(np.average(probability, weights=weight)),
        "mean_observed": float(np.average(has_churned.astype(float), weights=weight)),
    }
