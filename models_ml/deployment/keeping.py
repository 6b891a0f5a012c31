"""What a training leaves beside what it deploys: the version, the candidates, the report, MLflow's run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models_ml.deployment.challenge import Selection
from models_ml.deployment.champion import Challenger
from models_ml.deployment.deployed import DeploymentRecord
from models_ml.deployment.records import candidate_records, deployment_record, pipeline_version
from models_ml.deployment.tracking import Tracker
from models_ml.deployment.versions import keep_candidates, keep_version
from models_ml.training.examples import ExampleReader
from models_ml.training.judging import Economics
from models_ml.training.purpose import Purpose
from models_ml.training.settings import TrainingSettings
from models_ml.training.stage import TrainingResult


@dataclass(frozen=True)
class Training:
    """A finished training: what it was for, what it was made with, what it found, and the winner's pickle."""

    purpose: Purpose
    economics: Economics
    settings: TrainingSettings
    reader: ExampleReader
    result: TrainingResult
    content: bytes

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
        return deployment_record(self.result, self.purpose, self.settings, self.content, self.version, run_id)


def keep(training: Training, selection: Selection, folder: Path, reports: Path | None) -> DeploymentRecord:
    """Keep the winner, the candidates, the report and MLflow's run; nothing is deployed by it."""
    result, settings = training.result, training.settings
    tracker = Tracker(folder, training.purpose.source)
    winner = training.record(tracker.record(result, settings, training.version, selection))
    keep_version(folder, training.content, winner)
    keep_candidates(folder, candidate_records(result, training.purpose, settings, winner))
    files, plots = _report(reports, result, selection, winner, training.economics)
    tracker.register(winner, files, plots)
    return winner


def _report(
    folder: Path | None,
    result: TrainingResult,
    selection: Selection,
    winner: DeploymentRecord,
    economics: Economics,
) -> tuple[Sequence[Path], dict[str, str]]:
    if folder is None:
        return [], {}
    from models_ml.reports.training_files import write_training_files  # matplotlib is slow to import
    from models_ml.reports.training_plots import training_plots

    currency = economics.policy.currency
    files = write_training_files(folder, result, selection, winner, currency=currency)
    return files, training_plots(result, currency)
