"""Training as dbt and the command line start it: train where nothing fits, challenge, deploy.

What a training leaves is written in an order in which the deployed pipeline changes last but for its log: a
failure before leaves everything as it was but for files that nothing reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models_ml.deployment.candidate_log import append_candidates, candidate_rows, next_training_run
from models_ml.deployment.challenge import Selection
from models_ml.deployment.champion import Champion, challenge, find_champion
from models_ml.deployment.deployed import (
    DeploymentRecord,
    misfits,
    read_record,
    serialise,
    verify,
    write_deployment,
)
from models_ml.deployment.deployment_log import append_event, event_of_training, read_events
from models_ml.deployment.keeping import Training, keep
from models_ml.deployment.tracking import Tracker
from models_ml.training.candidates import CANDIDATES
from models_ml.training.context import TrainingTables, read_economics, read_purpose, read_run
from models_ml.training.examples import ExampleReader
from models_ml.training.settings import TrainingSettings
from models_ml.training.stage import Notify, train

BASELINE = "churn_pipeline"
BASELINE_CANDIDATE = "logistic_regression"


@dataclass(frozen=True)
class Deployment:
    """What is deployed, why a training ran now (empty: none did), and what became of its winner."""

    record: DeploymentRecord
    trained_because: tuple[str, ...]
    selection: Selection | None


@dataclass(frozen=True)
class Trained:
    """A training's winner, what became of it, and the record of what is deployed after it."""

    winner: DeploymentRecord
    selection: Selection
    deployed: DeploymentRecord


def ensure_deployed(
    cursor: Any,  # noqa: ANN401 - a DuckDB connection or cursor
    tables: TrainingTables,
    folder: Path,
    settings: TrainingSettings,
    *,
    notify: Notify,
    reports: Path | None = None,
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
            return Deployment(record, (), None)
    for reason in reasons:
        notify(f"training, because {reason}")
    trained = train_and_deploy(cursor, tables, folder, settings, notify=notify, reports=reports)
    return Deployment(trained.deployed, tuple(reasons), trained.selection)


def train_and_deploy(
    cursor: Any,  # noqa: ANN401 - a DuckDB connection or cursor
    tables: TrainingTables,
    folder: Path,
    settings: TrainingSettings,
    *,
    notify: Notify,
    reports: Path | None = None,
) -> Trained:
    """Run the stage on all candidates, keep the winner, and deploy it unless the champion stays.

    Parameters
    ----------
    reports : Path, optional
        Folder of the training report; without one, none is written.
    """
    training_run = next_training_run(folder)
    read_events(folder)  # a damaged log is found before hours of fitting, not after
    training = _train(cursor, tables, settings, list(CANDIDATES), notify)
    champion = find_champion(folder, training.purpose)
    selection = challenge(training.challenger, champion)
    notify("recording the training")
    winner = keep(training, selection, folder, reports)
    if selection.deploys:
        write_deployment(folder, training.content, winner)
    append_event(folder, event_of_training(selection, training_run))
    append_candidates(
        folder, candidate_rows(training.result, winner.pipeline_version, selection), training_run
    )
    deployed = champion.record if isinstance(champion, Champion) and not selection.deploys else winner
    Tracker(folder, winner.source).point_champion_at(deployed)
    became = "deployed" if selection.deploys else "registered, the champion stays:"
    notify(f"{became} {winner.pipeline_version}: {selection.reason}")
    return Trained(winner, selection, deployed)


def train_baseline(
    cursor: Any,  # noqa: ANN401 - a DuckDB connection or cursor
    tables: TrainingTables,
    folder: Path,
    settings: TrainingSettings,
    *,
    notify: Notify,
) -> DeploymentRecord:
    """Train logistic regression alone and keep it beside what is deployed, as ``churn_pipeline.pkl``."""
    training = _train(cursor, tables, settings, [BASELINE_CANDIDATE], notify)
    record = training.record(run_id="")
    write_deployment(folder, training.content, record, BASELINE)
    return record


def _train(
    cursor: Any,  # noqa: ANN401 - a DuckDB connection or cursor
    tables: TrainingTables,
    settings: TrainingSettings,
    candidates: Sequence[str],
    notify: Notify,
) -> Training:
    purpose, economics = read_purpose(cursor, tables), read_economics(cursor, tables)
    reader = ExampleReader(cursor, tables.training_examples, purpose.schema, economics.effects.signals)
    result = train(reader, economics, settings, candidates=candidates, notify=notify)
    return Training(purpose, economics, settings, reader, result, serialise(result.pipeline))
