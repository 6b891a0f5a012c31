"""From a training's result to the record that is deployed with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from models_ml.deployment import FORMAT, DeploymentRecord, Purpose, library_versions, version_of
from models_ml.training.candidate_log import CENTS, finite
from models_ml.training.settings import TrainingSettings
from models_ml.training.stage import Round, TrainingResult


def pipeline_version(result: TrainingResult, purpose: Purpose, settings: TrainingSettings) -> str:
    """Return the version: two trainings on the same data, settings and libraries have the same one."""
    parts = {
        "data": result.refitted.data_fingerprint,
        "settings": settings.fingerprint(),
        "libraries": library_versions(),
        "source": purpose.source,
        "churn_definition": purpose.churn_definition,
        "horizon_days": purpose.horizon_days,
        "activity_map_hash": purpose.activity_map_hash,
        "features": purpose.schema.to_rows(),
    }
    return version_of(parts, result.chosen)


def deployment_record(
    result: TrainingResult,
    purpose: Purpose,
    settings: TrainingSettings,
    content: bytes,
    version: str,
    run_id: str,
) -> DeploymentRecord:
    """Return the record of a training, ready to be written beside the pickled ``content``."""
    verdict = result.verdicts[result.chosen]
    judged = dict(verdict.metrics) | {"profit": round(verdict.profit.profit, CENTS)}
    return DeploymentRecord(
        format=FORMAT,
        pipeline_version=version,
        candidate=result.chosen,
        selection_reason=result.reason,
        source=purpose.source,
        churn_definition=purpose.churn_definition,
        horizon_days=purpose.horizon_days,
        activity_map_hash=purpose.activity_map_hash,
        features=purpose.schema.to_rows(),
        libraries=library_versions(),
        sha256=hashlib.sha256(content).hexdigest(),
        calibration_method=result.pipeline.calibrator.method,
        judged=_summary(result.judged, judged),
        refitted=_summary(result.refitted, result.refit_metrics),
        score_bin_edges=list(result.score_edges),
        settings_fingerprint=settings.fingerprint(),
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        mlflow_run_id=run_id,
    )


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
