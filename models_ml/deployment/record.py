"""The record of a pipeline: what it was made for and from, its figures, and the checksum of its file.

It is written beside the pickled pipeline and read before anything is unpickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import joblib

from models_ml.deployment.challenge import miscalibration_of
from models_ml.deployment.logs import CENTS, finite
from models_ml.training.context import Purpose
from models_ml.training.pipeline import ChurnPipeline
from models_ml.training.population import freeze_bins
from models_ml.training.schema import FeatureSchema, read_schema
from models_ml.training.settings import TrainingSettings
from models_ml.training.stage import Round, TrainingResult

FORMAT = 3  # raised when the pickled classes change, so that older files are refused by name
# Entries that older records lack; nothing is known of them then.
LATER_ENTRIES = ("at_risk_days", "payment_grace_days", "resume_grace_days")
# What rows and labels mean.
RULES = ("churn_definition", "horizon_days", "activity_map_hash", *LATER_ENTRIES)
_LIBRARIES = ("scikit-learn", "numpy", "scipy", "joblib")


@dataclass(frozen=True)
class DeploymentRecord:
    """Content of ``deployed_pipeline.json``; dates are ISO text, probabilities 0 to 1.

    ``recipe`` holds the hyper-parameters; ``data_fingerprint`` is a hash of every row that fitted or calibrated;
    ``feature_bins`` say what the population looked like then (`models_ml.training.population`), ``retention_curves``
    how long customers stayed (the rows of the table of that name); ``signature`` is empty where no key is set
    (`models_ml.deployment.deployed`).
    """

    format: int
    pipeline_version: str
    candidate: str
    recipe: dict[str, float]
    selection_reason: str
    source: str
    churn_definition: str
    horizon_days: int
    activity_map_hash: str
    features: list[dict[str, Any]]
    libraries: dict[str, str]
    sha256: str
    calibration_method: str
    judged: dict[str, Any]
    refitted: dict[str, Any]
    score_bin_edges: list[float]
    settings_fingerprint: str
    data_fingerprint: str
    trained_at: str
    mlflow_run_id: str
    feature_bins: list[dict[str, Any]]
    retention_curves: list[dict[str, Any]]
    signature: str = ""
    at_risk_days: int | None = None
    payment_grace_days: int | None = None
    resume_grace_days: int | None = None

    @property
    def schema(self) -> FeatureSchema:
        """The features that the pipeline reads."""
        return read_schema(self.features)

    @property
    def calibration_warning(self) -> str | None:
        """What is to be said while it is deployed: that chance does not explain its calibration ratio."""
        warning: str | None = self.judged.get("calibration_warning")  # older records have none
        return warning


def library_versions() -> dict[str, str]:
    """Return the versions that a pickled pipeline depends on."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python} | {name: version(name) for name in _LIBRARIES}


def serialise(pipeline: ChurnPipeline) -> bytes:
    """Return the pickled pipeline."""
    buffer = io.BytesIO()
    joblib.dump(pipeline, buffer, compress=3)
    return buffer.getvalue()


def pipeline_version(
    result: TrainingResult, purpose: Purpose, settings: TrainingSettings, content: bytes
) -> str:
    """Return the version: trainings on the same data, settings, libraries and code have the same one.

    Code counts through the pickled ``content`` that it made, so that one version never names two pipelines.
    """
    recipe = result.recipes[result.chosen]
    return _version(result.refitted, result.chosen, recipe, purpose, settings, content)


def deployment_record(
    result: TrainingResult,
    purpose: Purpose,
    settings: TrainingSettings,
    content: bytes,
    version: str,
    run_id: str,
    retention_curves: Sequence[dict[str, Any]],
) -> DeploymentRecord:
    """Return the record of a training's winner, ready to be written beside the pickled ``content``."""
    calibration = result.refitted.calibration
    miscalibration = miscalibration_of(result, settings.promotion)
    bins = freeze_bins(
        calibration.features,
        calibration.example_weight,
        purpose.schema,
        churn_probability=result.pipeline.score(calibration.features)[0],
    )
    return DeploymentRecord(
        format=FORMAT,
        pipeline_version=version,
        candidate=result.chosen,
        recipe=dict(result.recipes[result.chosen]),
        selection_reason=result.reason,
        source=purpose.source,
        **_rules(purpose),
        features=purpose.schema.to_rows(),
        libraries=library_versions(),
        sha256=hashlib.sha256(content).hexdigest(),
        calibration_method=result.pipeline.calibrator.method,
        judged=_summary(result.judged, _judged_metrics(result, result.chosen))
        | {"calibration_warning": miscalibration.warning if miscalibration else None},
        refitted=_summary(result.refitted, result.refit_metrics),
        score_bin_edges=list(result.score_edges),
        settings_fingerprint=settings.fingerprint(),
        data_fingerprint=result.refitted.data_fingerprint,
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        mlflow_run_id=run_id,
        feature_bins=bins,
        retention_curves=list(retention_curves),
    )


def candidate_records(
    result: TrainingResult, purpose: Purpose, settings: TrainingSettings, winner: DeploymentRecord
) -> dict[str, tuple[bytes, DeploymentRecord]]:
    """Return pickle and record of every candidate as judged; none is refitted or monitored."""
    kept = {}
    for name, pipeline in sorted(result.judged.pipelines.items()):
        content = serialise(pipeline)
        judged = _summary(result.judged, _judged_metrics(result, name))
        record = replace(
            winner,
            pipeline_version=_version(result.judged, name, result.recipes[name], purpose, settings, content),
            candidate=name,
            recipe=dict(result.recipes[name]),
            selection_reason=result.reason if name == result.chosen else f"{result.chosen} was selected",
            sha256=hashlib.sha256(content).hexdigest(),
            calibration_method=pipeline.calibrator.method,
            judged=judged,
            refitted=judged,
            score_bin_edges=[],
            data_fingerprint=result.judged.data_fingerprint,
            feature_bins=[],
        )
        kept[name] = content, record
    return kept


def misfits(record: DeploymentRecord, purpose: Purpose) -> list[str]:
    """Say, entry by entry, why a pipeline does not fit; an empty list means that it does."""
    found = [
        f"{name}: made for {getattr(record, name)}, now {getattr(purpose, name)}"
        for name in RULES
        if getattr(record, name) not in (None, getattr(purpose, name))
    ]
    return found + [f"feature {name}" for name in record.schema.differences(purpose.schema)]


def _rules(purpose: Purpose) -> dict[str, Any]:
    return {name: getattr(purpose, name) for name in RULES}


def _version(
    fitted: Round,
    candidate: str,
    recipe: Mapping[str, float],
    purpose: Purpose,
    settings: TrainingSettings,
    content: bytes,
) -> str:
    parts = {
        "pipeline": hashlib.sha256(content).hexdigest(),
        "data": fitted.data_fingerprint,
        "recipe": dict(recipe),
        "settings": settings.fingerprint(),
        "libraries": library_versions(),
        "source": purpose.source,
        **_rules(purpose),
        "features": purpose.schema.to_rows(),
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"{candidate}-{digest[:12]}"


def _judged_metrics(result: TrainingResult, candidate: str) -> dict[str, float]:
    verdict = result.verdicts[candidate]
    return dict(verdict.metrics) | {"profit": round(verdict.profit.profit, CENTS)}


def _summary(fitted: Round, metrics: Mapping[str, float]) -> dict[str, Any]:
    split = fitted.split
    return {
        "fit_from": min(split.fit_on).isoformat(),
        "fit_to": max(split.fit_on).isoformat(),
        "calibrated_on": split.calibrated_on.isoformat(),
        "judged_on": split.judged_on.isoformat() if split.judged_on else None,
        "fit_rows": fitted.fit_rows,
        "calibration_rows": fitted.calibration_rows,
        "metrics": {name: finite(value) for name, value in metrics.items()},
    }
