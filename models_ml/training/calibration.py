"""From a raw score to a probability that counts come true: curves fitted on a later date."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from models_ml.training.threads import one_thread

METHODS = ("none", "sigmoid", "isotonic")

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
    """Platt scaling: logit p = slope · score + intercept.

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
    method : one of `METHODS`
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
    return SigmoidCalibrator(float(line.coef_[0, 0]), float(line.intercept_[0]), floor)
