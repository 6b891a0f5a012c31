"""Tracking with MLflow: one run per training with a child per candidate, and the alias of the deployed version.

The store is a sqlite file per source, or the server that ``MLFLOW_TRACKING_URI`` names. Every training's winner
becomes a version of the registered pipeline ``bayespilot-<source>``; the alias ``champion`` marks the deployed one.
MLflow holds whole paths: a copied or moved folder goes on with an experiment of its own, so that it never writes where
it came from.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models_ml.deployment.challenge import Selection
from models_ml.deployment.deployed import DEPLOYED, VERSIONS
from models_ml.deployment.record import DeploymentRecord
from models_ml.errors import BayesPilotError
from models_ml.training.judging import Verdict
from models_ml.training.settings import TrainingSettings
from models_ml.training.stage import Round, TrainingResult

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, REPORTS = "champion", "reports"
_ENVIRONMENT = {  # what the caller sets stays
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # MLflow would print the address with its password
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",  # half a minute; the default waits four minutes for a dead server
}
PACKAGE_FOLDER = Path(__file__).resolve().parent.parent


class TrackingError(BayesPilotError):
    """MLflow does not do what is asked of it."""


class Tracker:
    """Writes to MLflow; every failure becomes a `TrackingError` that names the store."""

    def __init__(self, folder: Path, source: str) -> None:
        self._folder, self._name = folder, f"bayespilot-{source}"
        folder.mkdir(parents=True, exist_ok=True)
        self._server = os.environ.get("MLFLOW_TRACKING_URI")  # set but empty is as good as unset
        self._uri = self._server or f"sqlite:///{folder.resolve()}/mlflow.db"

    def check(self) -> None:
        """Ask the server, where there is one, for something small: before hours of fitting, not after.

        Raises
        ------
        TrackingError
            If it does not answer.
        """
        if self._server:
            with self._client() as client:
                client.get_experiment_by_name(self._name)

    def record(
        self, result: TrainingResult, settings: TrainingSettings, version: str, selection: Selection
    ) -> str:
        """Write parameters, metrics and data of a training; return the run's id. `register` ends the run."""
        with self._client() as client:
            experiment = self._experiment(client)
            parent = client.create_run(
                experiment, run_name=version, tags=run_tags(result, version, selection)
            )
            run_id = str(parent.info.run_id)
            for name, verdict in result.verdicts.items():
                tags = {"mlflow.parentRunId": run_id, "is_selected": str(name == result.chosen)}
                child = client.create_run(experiment, run_name=name, tags=tags).info.run_id
                shared = {"seed": settings.seed} | dict(result.recipes[name])
                _log(
                    client, child, shared | round_parameters(result.judged, name), candidate_metrics(verdict)
                )
                client.set_terminated(child)
            chosen = {"candidate": result.chosen, "reason": result.reason, "seed": settings.seed}
            chosen |= {"settings_fingerprint": settings.fingerprint()} | dict(result.recipes[result.chosen])
            _log(
                client,
                run_id,
                chosen | round_parameters(result.refitted, result.chosen),
                run_metrics(result, selection),
            )
            _log_data(client, run_id, self._name, result)
            return run_id

    def register(self, record: DeploymentRecord, files: Sequence[Path], plots: Mapping[str, str]) -> None:
        """Keep the pipeline, the reports and the plots (name to SVG) in the run, and register the version."""
        from models_ml.deployment.mlflow_pipeline import write_description

        run_id, kept = record.mlflow_run_id, self._folder / VERSIONS / record.pipeline_version
        with self._client() as client, tempfile.TemporaryDirectory() as aside:
            for suffix in (".pkl", ".json"):
                client.log_artifact(run_id, str(kept / f"{DEPLOYED}{suffix}"), DEPLOYED)
            client.log_artifact(run_id, str(write_description(Path(aside), record)), DEPLOYED)
            for path in files:
                client.log_artifact(run_id, str(path), REPORTS)
            for name, drawn in plots.items():
                client.log_text(run_id, drawn, f"{REPORTS}/{name}.svg")
            uri = client.get_run(run_id).info.artifact_uri
            self._create_version(client, record.pipeline_version, f"{uri}/{DEPLOYED}", run_id)
            client.set_terminated(run_id)

    def point_champion_at(self, record: DeploymentRecord) -> None:
        """Move the alias to the deployed version; register its kept files where the registry does not have it.

        A version trained several times is registered several times: the one of the record's run, else the last.
        """
        from models_ml.deployment.mlflow_pipeline import write_description

        with self._client() as client:
            known = [
                (one.run_id == record.mlflow_run_id, int(one.version))
                for one in client.search_model_versions(f"name = '{self._name}'")
                if one.tags.get("pipeline_version") == record.pipeline_version and self._holds(one.source)
            ]
            if known:
                number = max(known)[1]
            else:
                kept = (self._folder / VERSIONS / record.pipeline_version).resolve()
                write_description(kept, record)
                number = self._create_version(client, record.pipeline_version, kept.as_uri(), None)
            client.set_registered_model_alias(self._name, CHAMPION, str(number))

    def _holds(self, place: str) -> bool:
        """Say whether files that the store names are its own: not those of the folder that it was copied from."""
        return bool(self._server) or place.startswith(f"{self._folder.resolve().as_uri()}/")

    def _create_version(self, client: MlflowClient, version: str, place: str, run_id: str | None) -> int:
        if not client.search_registered_models(f"name = '{self._name}'"):
            client.create_registered_model(self._name)
        registered = client.create_model_version(
            self._name, source=place, run_id=run_id, tags={"pipeline_version": version}
        )
        return int(registered.version)

    def _experiment(self, client: MlflowClient) -> str:
        place = None if self._server else (self._folder / "mlruns").resolve().as_uri()
        for name in (self._name, f"{self._name} in {place}"):  # an experiment cannot be moved
            known = client.get_experiment_by_name(name)
            if known is None:
                return str(client.create_experiment(name, artifact_location=place))
            if self._holds(known.artifact_location):
                break
        return str(known.experiment_id)

    @contextlib.contextmanager
    def _client(self) -> Iterator[MlflowClient]:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient  # slow to import, and only training needs it
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            yield MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        except (MlflowException, SQLAlchemyError, OSError, ValueError, ImportError) as error:
            raise TrackingError(
                f"MLflow cannot be reached or refuses: {error}",
                where=self._uri,
                next_step="check MLFLOW_TRACKING_URI, or unset it to use the file beside the artifacts",
            ) from None  # the cause may show the address with its password


def code_version(folder: Path = PACKAGE_FOLDER) -> str:
    """Return the commit of the package's checkout, with ``-dirty`` where files differ from it.

    A package installed without its checkout has no commit: then ``bayespilot`` and its version.
    """
    installed = f"bayespilot {version('bayespilot')}"
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        described = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return installed
    return described.stdout.strip() if described.returncode == 0 else installed


def run_tags(result: TrainingResult, version: str, selection: Selection) -> dict[str, str]:
    """Return the tags of a run: version, outcome of the challenge, fingerprints of data and code."""
    return {
        "pipeline_version": version,
        "outcome": selection.outcome,
        "outcome_reason": selection.reason,
        "champion_version": selection.champion_version or "",
        "failed_guardrails": ", ".join(guardrail.name for guardrail in selection.failed),
        "data_fingerprint": result.refitted.data_fingerprint,
        "code_version": code_version(),
    }


def run_metrics(result: TrainingResult, selection: Selection) -> dict[str, float]:
    """Return metrics of the winner, judged and refitted, and of its challenge."""
    judged = candidate_metrics(result.verdicts[result.chosen])
    metrics = {name if "judged" in name else f"judged_{name}": value for name, value in judged.items()}
    metrics |= {f"refitted_{name}": value for name, value in result.refit_metrics.items()}
    metrics |= {f"guardrail_{guardrail.name}": guardrail.value for guardrail in selection.guardrails}
    if selection.probability_better is not None:
        metrics["probability_better"] = selection.probability_better
    return metrics


def candidate_metrics(verdict: Verdict) -> dict[str, float]:
    """Return what a candidate showed on the judged date, by name."""
    return dict(verdict.metrics) | {
        "judged_profit": verdict.profit.profit,
        "judged_profit_standard_error": verdict.profit.standard_error,
        "shortfall": verdict.profit.shortfall,
        "shortfall_standard_error": verdict.profit.shortfall_standard_error,
        "planned_contacts": verdict.planned_contacts,
        "planned_cost": verdict.planned_cost,
    }


def round_parameters(round_: Round, candidate: str) -> dict[str, str]:
    """Return dates and sizes of a round, and which curve calibrates a candidate in it."""
    split = round_.split
    said = {
        "fit_from": min(split.fit_on),
        "fit_to": max(split.fit_on),
        "calibrated_on": split.calibrated_on,
        "judged_on": split.judged_on,
        "fit_rows": round_.fit_rows,
        "calibration_rows": round_.calibration_rows,
        "calibration_method": round_.pipelines[candidate].calibrator.method,
    }
    return {name: str(value) for name, value in said.items() if value is not None}


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


def _log_data(client: MlflowClient, run_id: str, name: str, result: TrainingResult) -> None:
    """Name the rows of both rounds by their fingerprint, as MLflow's inputs."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    rounds = {"judged": result.judged, "refitted": result.refitted}
    inputs = [
        DatasetInput(
            Dataset(f"{name} {role}", round_.data_fingerprint[:32], "warehouse", "training_examples"),
            [InputTag("mlflow.data.context", role)],
        )
        for role, round_ in rounds.items()
    ]
    client.log_inputs(run_id, inputs)
