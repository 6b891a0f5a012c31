"""Deployment by hand: promote a kept version, roll back, list what there is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models_ml.deployment.deployed import DeploymentRecord, read_record, write_deployment
from models_ml.deployment.deployment_log import (
    LOG_FILE,
    Event,
    append_event,
    deployed_before,
    event_by_hand,
    read_events,
)
from models_ml.deployment.tracking import Tracker
from models_ml.deployment.versions import fitting_version, is_deployed, known_versions, read_version
from models_ml.errors import BayesPilotError
from models_ml.training.purpose import Purpose


@dataclass(frozen=True)
class KeptVersion:
    """One line of the list: a version, its record (None: damaged, see ``fault``) and whether it is deployed."""

    version: str
    record: DeploymentRecord | None
    fault: str
    is_champion: bool


def promote(folder: Path, version: str, purpose: Purpose) -> tuple[DeploymentRecord, bool]:
    """Deploy a kept version; return its record, and False where it was deployed already.

    Raises
    ------
    BayesPilotError
        If the version is unknown, damaged, made with other libraries or for another purpose; nothing changes.
    """
    return _deploy(folder, version, purpose, "promoted", "promoted by hand")


def roll_back(folder: Path, purpose: Purpose) -> DeploymentRecord:
    """Deploy what was deployed before; twice goes back twice.

    Raises
    ------
    BayesPilotError
        If nothing was deployed before, or it cannot be deployed any more; nothing changes.
    """
    deployed = deployed_version(folder)
    target = deployed_before(read_events(folder), deployed)
    if target is None:
        raise BayesPilotError(
            "there is no earlier deployment to return to",
            where=str(folder / LOG_FILE),
            next_step=f"python -m models_ml.train --source {purpose.source} --list, then --promote VERSION",
        )
    reason = f"rolled back by hand from {deployed or 'a damaged deployment'}"
    return _deploy(folder, target, purpose, "rolled_back", reason)[0]


def deployed_version(folder: Path) -> str | None:
    """Return the deployed version by its record, None where there is none that can be read."""
    try:
        record = read_record(folder)
    except BayesPilotError:
        return None
    return record.pipeline_version if record else None


def kept_versions(folder: Path, source: str) -> list[KeptVersion]:
    """Return every kept version, latest training first, damaged ones last."""
    deployed = deployed_version(folder)
    found = []
    for version in known_versions(folder):
        record, fault = None, ""
        try:
            _, record = read_version(folder, version, source)
        except BayesPilotError as error:
            fault = str(error).splitlines()[0]
        found.append(KeptVersion(version, record, fault, version == deployed))
    return sorted(found, key=lambda kept: kept.record.trained_at if kept.record else "", reverse=True)


def _deploy(
    folder: Path, version: str, purpose: Purpose, event: Event, reason: str
) -> tuple[DeploymentRecord, bool]:
    read_events(folder)  # a damaged log is found before anything changes
    content, record = fitting_version(folder, version, purpose)
    previous = deployed_version(folder)
    tracker = Tracker(folder, purpose.source)
    changes = not is_deployed(folder, version, content)
    if changes:
        write_deployment(folder, content, record)
        append_event(folder, event_by_hand(event, version, previous, reason))
    else:
        record = read_record(folder) or record
    tracker.point_champion_at(record)  # also where an earlier attempt stopped before it
    return record, changes
