"""Training as a step of the build and as a command: train where nothing fits, challenge, keep, deploy.

``deployed_table`` is the node ``deployed_pipeline`` of the DAG, ``train_and_deploy`` the command ``bayespilot train``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
from dbt.adapters.events.logging import AdapterLogger

from models_ml.decisions.economics import needed_columns
from models_ml.decisions.policy import DecisionInputs
from models_ml.decisions.retention_curves import RETENTION_CURVES_SCHEMA
from models_ml.decisions.settings import load_settings as load_decision_settings
from models_ml.deployment.challenge import Selection, miscalibration_of, refuse_miscalibration
from models_ml.deployment.champion import Challenger, Champion, challenge, find_champion
from models_ml.deployment.deployed import read_deployed, read_record, write_deployment
from models_ml.deployment.logs import (
    candidate_rows,
    event_of_training,
    next_training_run,
    read_events,
)
from models_ml.deployment.record import (
    DeploymentRecord,
    candidate_records,
    deployment_record,
    misfits,
    pipeline_version,
    serialise,
)
from models_ml.deployment.switch import STAGED, Switch, one_writer, settle, switch
from models_ml.deployment.tracking import Tracker
from models_ml.deployment.versions import keep_candidates, keep_version
from models_ml.paths import artifacts_folder, reports_folder
from models_ml.training.candidates import CANDIDATES
from models_ml.training.context import (
    Purpose,
    TrainingTables,
    read_inputs,
    read_purpose,
    read_run,
    read_run_categories,
    run_is_empty,
)
from models_ml.training.examples import ExampleReader
from models_ml.training.follow_up import learn_curves
from models_ml.training.settings import TrainingSettings, load_settings
from models_ml.training.stage import Notify, TrainingResult, train

BASELINE = "churn_pipeline"
BASELINE_CANDIDATE = "logistic_regression"

DEPLOYED_SCHEMA = pa.schema(
    [
        ("pipeline_version", pa.string()),
        ("candidate", pa.string()),
        ("hyper_parameters", pa.string()),
        ("selection_reason", pa.string()),
        ("source", pa.string()),
        ("churn_definition", pa.string()),
        ("horizon_days", pa.int32()),
        ("feature_count", pa.int32()),
        ("calibration_method", pa.string()),
        ("fit_from", pa.date32()),
        ("fit_to", pa.date32()),
        ("calibrated_on", pa.date32()),
        ("fit_rows", pa.int64()),
        ("calibration_rows", pa.int64()),
        ("refitted_auc", pa.float64()),
        ("refitted_average_precision", pa.float64()),
        ("refitted_log_loss", pa.float64()),
        ("judged_on", pa.date32()),
        ("judged_profit", pa.float64()),
        ("judged_auc", pa.float64()),
        ("judged_announced_churn_share", pa.float64()),
        ("judged_auc_without_notice", pa.float64()),
        ("judged_average_precision", pa.float64()),
        ("judged_log_loss", pa.float64()),
        ("judged_calibration_ratio", pa.float64()),
        ("judged_calibration_error", pa.float64()),
        ("calibration_warning", pa.string()),
        ("sha256", pa.string()),
        ("settings_fingerprint", pa.string()),
        ("data_fingerprint", pa.string()),
        ("mlflow_run_id", pa.string()),
        ("was_trained_now", pa.bool_()),
        ("trained_because", pa.string()),
        ("training_outcome", pa.string()),
        ("training_outcome_reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class Training:
    """A finished training: its purpose and inputs, its result, and the winner's pickle."""

    purpose: Purpose
    inputs: DecisionInputs
    settings: TrainingSettings
    reader: ExampleReader
    result: TrainingResult
    content: bytes
    retention_curves: pa.Table

    @property
    def version(self) -> str:
        """The winner's version."""
        return pipeline_version(self.result, self.purpose, self.settings, self.content)

    @property
    def challenger(self) -> Challenger:
        """The winner as it challenges the champion."""
        checksum = hashlib.sha256(self.content).hexdigest()
        return Challenger(self.version, checksum, self.result, self.reader, self.settings)

    def record(self, run_id: str) -> DeploymentRecord:
        """Return the winner's record, with the MLflow run that it names."""
        return deployment_record(
            self.result,
            self.purpose,
            self.settings,
            self.content,
            self.version,
            run_id,
            self.retention_curves.to_pylist(),
        )


@dataclass(frozen=True)
class Deployment:
    """The deployed pipeline, why a training ran now (empty: none did), and whether its winner is deployed."""

    record: DeploymentRecord
    trained_because: tuple[str, ...]
    selection: Selection | None


@dataclass(frozen=True)
class Trained:
    """A training's winner, whether it is deployed, and the record of what is deployed after the training."""

    winner: DeploymentRecord
    selection: Selection
    deployed: DeploymentRecord


def deployed_table(cursor: Any, tables: TrainingTables) -> pa.Table:  # noqa: ANN401 - a DuckDB cursor
    """Train where nothing fits and return the record of what is deployed; empty where the run is empty."""
    if run_is_empty(cursor, tables.int_run):
        return DEPLOYED_SCHEMA.empty_table()
    source = read_run(cursor, tables.int_run)["source"]
    log = AdapterLogger("BayesPilot")
    deployment = ensure_deployed(
        cursor,
        tables,
        artifacts_folder(source),
        load_settings(),
        notify=log.info,
        reports=reports_folder(source),
    )
    return deployment_row(deployment)


def deployment_row(deployment: Deployment) -> pa.Table:
    """Return one flat row of `DEPLOYED_SCHEMA`."""
    record, selection = deployment.record, deployment.selection
    values = vars(record) | {
        "feature_count": len(record.features),
        "hyper_parameters": json.dumps(record.recipe, sort_keys=True),
        "calibration_warning": record.calibration_warning,
        "was_trained_now": selection is not None and selection.deploys,
        "training_outcome": selection.outcome if selection else None,
        "training_outcome_reason": selection.reason if selection else None,
        "trained_because": "; ".join(deployment.trained_because) or None,
    }
    values |= {name: value for name, value in record.refitted.items() if name in DEPLOYED_SCHEMA.names}
    values |= {f"judged_{name}": value for name, value in record.judged["metrics"].items()}
    values |= {f"refitted_{name}": value for name, value in record.refitted["metrics"].items()}
    values |= {"judged_on": record.judged["judged_on"]}
    # A metric that an older record lacks is null.
    row = {field.name: _typed(values.get(field.name), field.type) for field in DEPLOYED_SCHEMA}
    return pa.Table.from_pylist([row], schema=DEPLOYED_SCHEMA)


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
    settle(folder, notify)
    run = read_run(cursor, tables.int_run)
    if run["retrain"]:
        reasons = ["retraining was asked for"]
    else:
        purpose = read_purpose(cursor, tables)
        deployed = read_deployed(folder, purpose.source)
        reasons = ["nothing is deployed yet"] if deployed is None else misfits(deployed[0], purpose)
        if deployed is not None and not reasons:
            return Deployment(deployed[0], (), None)
    for reason in reasons:
        notify(f"training, because {reason}")
    trained = train_and_deploy(
        cursor,
        tables,
        folder,
        settings,
        notify=notify,
        reports=reports,
        allow_miscalibrated=run["allow_miscalibrated"],
    )
    return Deployment(trained.deployed, tuple(reasons), trained.selection)


def train_and_deploy(
    cursor: Any,  # noqa: ANN401 - a DuckDB connection or cursor
    tables: TrainingTables,
    folder: Path,
    settings: TrainingSettings,
    *,
    notify: Notify,
    reports: Path | None = None,
    allow_miscalibrated: bool = False,
) -> Trained:
    """Run the stage on all candidates, keep the winner, and deploy it unless the champion stays.

    Parameters
    ----------
    reports : Path, optional
        Folder of the training report; without one, none is written.
    allow_miscalibrated : bool
        Whether a winner that nothing competes with is deployed even if chance does not explain its calibration ratio.

    Raises
    ------
    BayesPilotError
        If training is not possible, or such a winner is not allowed; nothing is changed then.
    """
    with one_writer(folder):
        training_run = next_training_run(folder)
        read_events(folder)  # a damaged log and a dead server are found before hours of fitting, not after
        Tracker(folder, read_run(cursor, tables.int_run)["source"]).check()
        training = _train(cursor, tables, settings, list(CANDIDATES), notify)
        champion = find_champion(folder, training.purpose)
        selection = challenge(training.challenger, champion)
        if selection.is_unopposed and not allow_miscalibrated:
            _check_calibration(training)
        notify("recording the training")
        winner = keep(training, selection, folder, with_report=reports is not None)
        change = Switch(
            winner.source,
            event_of_training(selection, training_run),
            candidate_rows(training.result, winner.pipeline_version, selection),
            str(reports) if reports is not None else None,
        )
        switch(folder, change)
    became = "deployed" if selection.deploys else "registered, the champion stays:"
    notify(f"{became} {winner.pipeline_version}: {selection.reason}")
    if isinstance(champion, Champion) and not selection.deploys:
        return Trained(winner, selection, champion.record)
    return Trained(winner, selection, winner)


def _check_calibration(training: Training) -> None:
    found = miscalibration_of(training.result, training.settings.promotion)
    if found is not None:
        refuse_miscalibration(found, training.reader.date_counts(), training.purpose.source)


def train_baseline(
    cursor: Any,  # noqa: ANN401 - a DuckDB connection or cursor
    tables: TrainingTables,
    folder: Path,
    settings: TrainingSettings,
    *,
    notify: Notify,
) -> DeploymentRecord:
    """Train logistic regression alone and keep it beside what is deployed, as ``churn_pipeline.pkl``."""
    with one_writer(folder):
        training = _train(cursor, tables, settings, [BASELINE_CANDIDATE], notify)
        record = training.record(run_id="")
        write_deployment(folder, training.content, record, BASELINE)
    return record


def keep(training: Training, selection: Selection, folder: Path, *, with_report: bool) -> DeploymentRecord:
    """Keep the winner, the candidates and MLflow's run, stage the report; nothing is deployed by it."""
    result, settings = training.result, training.settings
    tracker = Tracker(folder, training.purpose.source)
    winner = training.record(tracker.record(result, settings, training.version, selection))
    keep_version(folder, training.content, winner)
    keep_candidates(folder, candidate_records(result, training.purpose, settings, winner))
    files, plots = _stage_report(training, selection, winner, folder) if with_report else ([], {})
    tracker.register(winner, files, plots)
    return winner


def _stage_report(
    training: Training, selection: Selection, winner: DeploymentRecord, folder: Path
) -> tuple[Sequence[Path], dict[str, str]]:
    from models_ml.reports.training_page import (
        training_plots,
        write_training_files,  # matplotlib is slow to import
    )

    currency = training.inputs.policy.currency
    plots = training_plots(training.result, currency)
    files = write_training_files(
        folder / STAGED, training.result, selection, winner, currency=currency, plots=plots
    )
    return files, plots


def _train(
    cursor: Any,  # noqa: ANN401 - a DuckDB connection or cursor
    tables: TrainingTables,
    settings: TrainingSettings,
    candidates: Sequence[str],
    notify: Notify,
) -> Training:
    purpose = read_purpose(cursor, tables)
    notify("reading the training examples")
    examples = _held(cursor, tables.training_examples)
    notify("following customers through later periods")
    learned = learn_curves(
        cursor,
        examples,
        purpose.schema,
        purpose.horizon_days,
        settings,
        load_decision_settings().retention_curves,
    )
    inputs = read_inputs(cursor, tables, learned.curves)
    reader = ExampleReader(cursor, examples, purpose.schema, needed_columns(inputs))
    categories = read_run_categories(cursor, tables, purpose.schema)
    result = train(reader, inputs, settings, candidates=candidates, notify=notify, run_categories=categories)
    return Training(purpose, inputs, settings, reader, result, serialise(result.pipeline), learned.table)


def _held(cursor: Any, training_examples: str) -> str:  # noqa: ANN401 - a DuckDB connection or cursor
    """Return a select of a temporary copy: a training reads examples often, and a view joins them each time."""
    cursor.execute(f"create or replace temp table held_training_examples as {training_examples}")
    return "select * from held_training_examples"


def _typed(value: Any, data_type: pa.DataType) -> Any:  # noqa: ANN401 - a scalar of the schema
    return date.fromisoformat(value) if value is not None and pa.types.is_date(data_type) else value


def retention_curves_of(cursor: Any, int_run: str) -> pa.Table:  # noqa: ANN401 - a DuckDB cursor
    """Return the retention curves of the deployed pipeline; empty where the run is empty."""
    if run_is_empty(cursor, int_run):
        return RETENTION_CURVES_SCHEMA.empty_table()
    source = read_run(cursor, int_run)["source"]
    record = read_record(artifacts_folder(source), source=source)
    rows = [] if record is None else record.retention_curves
    return pa.Table.from_pylist(rows, schema=RETENTION_CURVES_SCHEMA)
