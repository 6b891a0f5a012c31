"""What MLflow keeps of a training: one run with a child per candidate, and the alias of what is deployed.

A sqlite file per source by default; ``MLFLOW_TRACKING_URI`` names a server instead.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models_ml.deployment import DEPLOYED, DeploymentRecord
from models_ml.errors import BayesPilotError
from models_ml.training.settings import TrainingSettings
from models_ml.training.stage import Round, TrainingResult

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"


class Tracker:
    """Writes to MLflow; every failure becomes a `BayesPilotError` that names the store."""

    def __init__(self, folder: Path, source: str) -> None:
        self._folder, self._name = folder, f"bayespilot-{source}"
        folder.mkdir(parents=True, exist_ok=True)
        self._uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve()}/mlflow.db"

    def record(self, result: TrainingResult, settings: TrainingSettings, version: str) -> str:
        """Write parameters and metrics of a training; return the run's id."""
        with self._client() as client:
            experiment = self._experiment(client)
            parent = client.create_run(experiment, run_name=version, tags={"pipeline_version": version})
            run_id = str(parent.info.run_id)
            for name, verdict in result.verdicts.items():
                tags = {"mlflow.parentRunId": run_id, "is_selected": str(name == result.chosen)}
                child = client.create_run(experiment, run_name=name, tags=tags).info.run_id
                metrics = dict(verdict.metrics) | {"judged_profit": verdict.profit.profit}
                _log(client, child, dict(settings.candidates[name]) | _dates(result.judged), metrics)
                client.set_terminated(child)
            chosen = {"candidate": result.chosen, "reason": result.reason, "seed": settings.seed}
            refitted = {f"refitted_{name}": value for name, value in result.refit_metrics.items()}
            _log(client, run_id, chosen | _dates(result.refitted), refitted)
            client.set_terminated(run_id)
            return run_id

    def register(self, record: DeploymentRecord) -> None:
        """Keep the deployed files in the run and point the alias at them."""
        with self._client() as client:
            for suffix in (".pkl", ".json"):
                client.log_artifact(record.mlflow_run_id, str(self._folder / f"{DEPLOYED}{suffix}"), DEPLOYED)
            if not client.search_registered_models(f"name = '{self._name}'"):
                client.create_registered_model(self._name)
            run = client.get_run(record.mlflow_run_id)
            registered = client.create_model_version(
                self._name,
                source=f"{run.info.artifact_uri}/{DEPLOYED}",
                run_id=record.mlflow_run_id,
                tags={"pipeline_version": record.pipeline_version},
            )
            client.set_registered_model_alias(self._name, CHAMPION, registered.version)

    def _experiment(self, client: MlflowClient) -> str:
        known = client.get_experiment_by_name(self._name)
        if known is not None:
            return str(known.experiment_id)
        local = "MLFLOW_TRACKING_URI" not in os.environ
        place = (self._folder / "mlruns").resolve().as_uri() if local else None
        return str(client.create_experiment(self._name, artifact_location=place))

    @contextlib.contextmanager
    def _client(self) -> Iterator[MlflowClient]:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient  # slow to import, and only training needs it
        from mlflow.exceptions import MlflowException

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            yield MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        except (MlflowException, OSError) as error:
            raise BayesPilotError(
                f"MLflow refused to keep the training: {error}",
                where=self._uri,
                next_step="check MLFLOW_TRACKING_URI, or unset it to use the file beside the artifacts",
            ) from error


def _log(
    client: MlflowClient, run_id: str, parameters: Mapping[str, Any], metrics: Mapping[str, float]
) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, now, 0) for name, value in metrics.items() if math.isfinite(value)],
        params=[Param(name, str(value)) for name, value in parameters.items()],
    )


def _dates(round_: Round) -> dict[str, str]:
    split = round_.split
    dates = {"fit_to": max(split.fit_on), "calibrated_on": split.calibrated_on, "judged_on": split.judged_on}
    return {name: str(day) for name, day in dates.items() if day}
