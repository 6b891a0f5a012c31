"""A churn pipeline: encoder, fitted estimator and calibrator, as it is judged, pickled and deployed."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.special import logit
from sklearn.pipeline import Pipeline
from threadpoolctl import ThreadpoolController

from models_ml.training.calibration import Calibrator, fit_calibrator
from models_ml.training.candidates import CANDIDATES
from models_ml.training.encoding import FeatureEncoder, fit_encoder
from models_ml.training.examples import Examples
from models_ml.training.schema import FeatureSchema
from models_ml.training.settings import TrainingSettings

SMALLEST_SHARE = 1e-6


@dataclass(frozen=True)
class ChurnPipeline:
    """What scores a customer; every step works row by row, so batches may be cut anywhere."""

    candidate: str
    encoder: FeatureEncoder
    estimator: Pipeline
    calibrator: Calibrator

    def score(self, batch: pa.RecordBatch | pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """Return churn probability (0 to 1) and raw score of each row, both of shape (rows,)."""
        matrix = self.encoder.encode(batch)
        with _threads().limit(limits=1):
            raw = raw_score(self.estimator, matrix)
        return self.calibrator.apply(to_log_odds(self.estimator, raw)), raw


@functools.cache
def _threads() -> ThreadpoolController:
    """Return the control over BLAS and OpenMP threads.

    Scoring uses one: on batches, more threads wait for each other, beside a busy neighbour many times longer
    than the work takes.
    """
    return ThreadpoolController()


def raw_score(estimator: Pipeline, matrix: np.ndarray) -> np.ndarray:
    """Return the uncalibrated output: log-odds, or a share of votes where there are no log-odds."""
    if hasattr(estimator, "decision_function"):
        return np.asarray(estimator.decision_function(matrix), dtype=float)
    return np.asarray(estimator.predict_proba(matrix)[:, 1], dtype=float)


def to_log_odds(estimator: Pipeline, raw: np.ndarray) -> np.ndarray:
    """Return raw scores on the log-odds scale, on which calibration works."""
    if hasattr(estimator, "decision_function"):
        return raw
    return np.asarray(logit(np.clip(raw, SMALLEST_SHARE, 1 - SMALLEST_SHARE)), dtype=float)


def fit_pipeline(
    candidate: str,
    fit: Examples,
    calibrate: Examples,
    schema: FeatureSchema,
    settings: TrainingSettings,
) -> ChurnPipeline:
    """Fit one candidate on the earlier rows and calibrate it on the later ones.

    Threads change the time, never a bit of the result.
    """
    encoder = fit_encoder(fit.features, schema, settings.encoding.categories_at_most)
    estimator = CANDIDATES[candidate].build(encoder, settings.candidates[candidate], settings.seed)
    threads = None if fit.table.num_rows >= settings.rows.parallel_from else 1
    with _threads().limit(limits=threads):
        estimator.fit(
            encoder.encode(fit.features), fit.has_churned, estimator__sample_weight=fit.example_weight
        )
    last = estimator.named_steps["estimator"]
    if hasattr(last, "n_jobs"):
        last.set_params(n_jobs=1)  # several threads would add the trees' votes in another order each time
    with _threads().limit(limits=1):
        log_odds = to_log_odds(estimator, raw_score(estimator, encoder.encode(calibrate.features)))
    calibrator = fit_calibrator(
        log_odds, calibrate.has_churned, calibrate.example_weight, settings.calibration
    )
    return ChurnPipeline(candidate, encoder, estimator, calibrator)
