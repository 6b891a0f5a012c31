"""Training as dbt and the command line start it: read the tables, train where nothing fits, deploy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models_ml.deployment import (
    DeploymentRecord,
    Purpose,
    misfits,
    read_record,
    serialise,
    verify,
    write_deployment,
)
from models_ml.training.candidate_log import append_candidates, candidate_rows
from models_ml.training.candidates import CANDIDATES
from models_ml.training.context import TrainingTables, read_economics, read_purpose, read_run
from models_ml.training.examples import ExampleReader
from models_ml.training.records import deployment_record, pipeline_version
from models_ml.training.settings import TrainingSettings
from models_ml.training.stage import Notify, TrainingResult, train
from models_ml.training.tracking import Tracker

BASELINE = "churn_pipeline"


@dataclass(frozen=True)
class Deployment:
    """The record of what is deployed, and why it was trained now (empty where it already fitted)."""

    record: DeploymentRecord
    trained_because: tuple[str, ...]


def ensure_deployed(
    cursor: Any,  # noqa: ANN401 - a DuckDB connection or cursor
    tables: TrainingTables,
    folder: Path,
    settings: TrainingSettings,
    *,
    notify: Notify,
) -> Deployment:
    """Return what is deployed; train first where nothing fits or retraining is asked for.

    Raises
    ------
    BayesPilotError
        If the deployed files are damaged, of another source or made with other libraries (and retraining
        was not asked for), or if training is not possible.
    """
    run = read_run(cursor, tables.int_run)
    if run["retrain"]:
        reasons = ["retraining was asked for"]
    else:
        purpose = read_purpose(cursor, tables)
        record = read_record(folder)
        if record is not None:
            verify(folder, record, purpose.source)
        reasons = ["nothing is deployed yet"] if record is None else misfits(record, purpose)
        if record is not None and not reasons:
            return Deployment(record, ())
    for reason in reasons:
        notify(f"training, because {reason}")
    return Deployment(train_and_deploy(cursor, tables, folder, settings, notify=notify), tuple(reasons))


def train_and_deploy(
    cursor: Any,  # noqa: ANN401 - a DuckDB connection or cursor
    tables: TrainingTables,
    folder: Path,
    settings: TrainingSettings,
    *,
    notify: Notify,
) -> DeploymentRecord:
    """Run the stage on all candidates and deploy the winner: files, candidate log, MLflow's champion."""
    purpose = read_purpose(cursor, tables)
    result = _train(cursor, tables, purpose, settings, list(CANDIDATES), notify)
    version = pipeline_version(result, purpose, settings)
    tracker = Tracker(folder, purpose.source)
    notify("recording the training in MLflow")
    run_id = tracker.record(result, settings, version)
    content = serialise(result.pipeline)
    record = deployment_record(result, purpose, settings, content, version, run_id)
    write_deployment(folder, content, record)
    append_candidates(folder, candidate_rows(result, version))
    tracker.register(record)
    notify(f"deployed {version}: {result.reason}")
    return record


def train_baseline(
    cursor: Any,  # noqa: ANN401 - a DuckDB connection or cursor
    tables: TrainingTables,
    folder: Path,
    settings: TrainingSettings,
    *,
    notify: Notify,
) -> DeploymentRecord:
    """Train the simplest candidate alone and keep it beside what is deployed, as ``churn_pipeline.pkl``."""
    purpose = read_purpose(cursor, tables)
    simplest = min(CANDIDATES.values(), key=lambda candidate: candidate.complexity).name
    result = _train(cursor, tables, purpose, settings, [simplest], notify)
    content = serialise(result.pipeline)
    version = pipeline_version(result, purpose, settings)
    record = deployment_record(result, purpose, settings, content, version, "")
    write_deployment(folder, content, record, BASELINE)
    return record


def _train(
    cursor: Any,  # noqa: ANN401 - a DuckDB connection or cursor
    tables: TrainingTables,
    purpose: Purpose,
    settings: TrainingSettings,
    candidates: Sequence[str],
    notify: Notify,
) -> TrainingResult:
    economics = read_economics(cursor, tables)
    reader = ExampleReader(cursor, tables.training_examples, purpose.schema, economics.effects.signals)
    return train(reader, economics, settings, candidates=candidates, notify=notify)
