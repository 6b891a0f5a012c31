"""A churn pipeline: encoder, fitted estimator and calibrator, as it is judged, pickled and deployed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.special import logit
from sklearn.pipeline import Pipeline

from models_ml.training.calibration import Calibrator, choose_calibration
from models_ml.training.candidates import CANDIDATES, Hyperparameters, one_blas_thread, one_thread
from models_ml.training.examples import Examples
from models_ml.training.linear import as_linear_sum
from models_ml.training.schema import FeatureEncoder, FeatureSchema, fit_encoder
from models_ml.training.settings import TrainingSettings

SMALLEST_SHARE = 1e-6
DIGITS = 9  # later digits of a probability can depend on where a batch ends


@dataclass(frozen=True)
class ChurnPipeline:
    """Scores customers; every step works row by row, so batches may be cut anywhere."""

    candidate: str
    encoder: FeatureEncoder
    estimator: Pipeline
    calibrator: Calibrator

    def score(self, batch: pa.RecordBatch | pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """Return churn probability (0 to 1) and raw score of each row, both of shape (rows,)."""
        matrix = self.encoder.encode(batch)
        with one_thread():
            raw = raw_score(self.estimator, matrix)
        return self.calibrator.apply(to_log_odds(self.estimator, raw)), raw


@dataclass(frozen=True)
class FittedPipeline:
    """A pipeline, and what each calibration method tried did on rows it had not seen."""

    pipeline: ChurnPipeline
    calibration: tuple[dict[str, Any], ...]


def fit_pipeline(
    candidate: str,
    fit: Examples,
    calibrate: Examples,
    schema: FeatureSchema,
    settings: TrainingSettings,
    recipe: Hyperparameters | None = None,
) -> ChurnPipeline:
    """Fit one candidate on the earlier rows and calibrate it on the later ones.

    Without a ``recipe`` the declared hyper-parameters hold. Threads change the time, never a bit of the result.
    """
    return fit_and_calibrate(candidate, fit, calibrate, schema, settings, recipe).pipeline


def fit_and_calibrate(
    candidate: str,
    fit: Examples,
    calibrate: Examples,
    schema: FeatureSchema,
    settings: TrainingSettings,
    recipe: Hyperparameters | None = None,
) -> FittedPipeline:
    """Fit as `fit_pipeline`, and also return how the calibration curve was chosen."""
    chosen = settings.candidates[candidate] if recipe is None else recipe
    encoder, estimator = fit_estimator(candidate, fit, schema, settings, chosen)
    log_odds = uncalibrated_log_odds(encoder, estimator, calibrate.features)
    curve = choose_calibration(log_odds, calibrate.has_churned, calibrate.example_weight, settings)
    pipeline = ChurnPipeline(candidate, encoder, estimator, curve.calibrator)
    return FittedPipeline(pipeline, curve.trials)


def fit_estimator(
    candidate: str,
    fit: Examples,
    schema: FeatureSchema,
    settings: TrainingSettings,
    recipe: Hyperparameters,
) -> tuple[FeatureEncoder, Pipeline]:
    """Fit encoder and estimator; the estimator is set to score with one thread."""
    encoder = fit_encoder(fit.features, schema, settings.encoding.categories_at_most)
    estimator = CANDIDATES[candidate].build(encoder, recipe, settings.seed)
    with one_blas_thread() if fit.table.num_rows >= settings.rows.parallel_from else one_thread():
        estimator.fit(
            encoder.encode(fit.features), fit.has_churned, estimator__sample_weight=fit.example_weight
        )
    last = estimator.named_steps["estimator"]
    if hasattr(last, "n_jobs"):
        last.set_params(n_jobs=1)  # several threads would add the trees' votes in another order each time
    return encoder, estimator


def uncalibrated_log_odds(encoder: FeatureEncoder, estimator: Pipeline, features: pa.Table) -> np.ndarray:
    """Return log-odds before any calibration, shape (rows,)."""
    with one_thread():
        return to_log_odds(estimator, raw_score(estimator, encoder.encode(features)))


def raw_score(estimator: Pipeline, matrix: np.ndarray) -> np.ndarray:
    """Return the uncalibrated output: log-odds, or a share of votes where there are no log-odds."""
    linear = as_linear_sum(estimator)
    if linear is not None:
        return linear.raw_score(matrix)
    if hasattr(estimator, "decision_function"):
        return np.asarray(estimator.decision_function(matrix), dtype=float)
    return np.asarray(estimator.predict_proba(matrix)[:, 1], dtype=float)


def to_log_odds(estimator: Pipeline, raw: np.ndarray) -> np.ndarray:
    """Return raw scores on the log-odds scale, on which calibration works."""
    if hasattr(estimator, "decision_function"):
        return raw
    return np.asarray(logit(np.clip(raw, SMALLEST_SHARE, 1 - SMALLEST_SHARE)), dtype=float)
