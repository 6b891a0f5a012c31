"""One round of the stage: every candidate fitted on earlier rows and calibrated on later ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models_ml.training.candidates import Hyperparameters
from models_ml.training.encoding import FeatureEncoder
from models_ml.training.examples import Examples
from models_ml.training.pipeline import ChurnPipeline, fit_and_calibrate
from models_ml.training.schema import FeatureSchema
from models_ml.training.settings import TrainingSettings
from models_ml.training.splits import TimeSplit

Notify = Callable[[str], None]


@dataclass(frozen=True)
class Fitted:
    """Fitted pipelines, and per candidate what each calibration method tried did."""

    pipelines: Mapping[str, ChurnPipeline]
    calibration_trials: Mapping[str, tuple[dict[str, Any], ...]]


@dataclass(frozen=True)
class Round:
    """Fitted pipelines of one split, the rows that calibrated them and a hash of all their rows."""

    split: TimeSplit
    pipelines: Mapping[str, ChurnPipeline]
    calibration_trials: Mapping[str, tuple[dict[str, Any], ...]]
    fit_rows: int
    calibration: Examples
    data_fingerprint: str

    @property
    def calibration_rows(self) -> int:
        """Rows of the calibration date."""
        return int(self.calibration.table.num_rows)


def fit_candidates(
    recipes: Mapping[str, Hyperparameters],
    fit: Examples,
    calibrate: Examples,
    schema: FeatureSchema,
    settings: TrainingSettings,
    notify: Notify,
) -> Fitted:
    """Fit and calibrate every candidate with its recipe, on the same rows."""
    fitted = {}
    for name, recipe in recipes.items():
        notify(f"fitting {name} on {fit.table.num_rows:,} rows, calibrating on {calibrate.table.num_rows:,}")
        fitted[name] = fit_and_calibrate(name, fit, calibrate, schema, settings, recipe)
    return Fitted(
        {name: of.pipeline for name, of in fitted.items()},
        {name: of.calibration for name, of in fitted.items()},
    )


def round_of(split: TimeSplit, fitted: Fitted, fit: Examples, calibrate: Examples) -> Round:
    """Keep what was fitted together with where it came from."""
    encoder = next(iter(fitted.pipelines.values())).encoder
    return Round(
        split,
        fitted.pipelines,
        fitted.calibration_trials,
        fit.table.num_rows,
        calibrate,
        fingerprint([fit, calibrate], encoder),
    )


def fingerprint(parts: Sequence[Examples], encoder: FeatureEncoder) -> str:
    """Return a hash of customers, features, labels and weights, in order."""
    return hashlib.sha256(b"".join(_digest(part, encoder) for part in parts)).hexdigest()


def _digest(examples: Examples, encoder: FeatureEncoder) -> bytes:
    parts = (encoder.encode(examples.features), examples.has_churned, examples.example_weight)
    digest = hashlib.sha256("\n".join(examples.table["customer_id"].to_pylist()).encode())
    for part in parts:
        digest.update(np.ascontiguousarray(part).data)
    return digest.digest()
