"""Kept versions: every training's winner in ``versions/<pipeline_version>/``, and their promotion and rollback.

The candidates of the latest training stand beside, in ``candidates/``, as they were judged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from models_ml.deployment.deployed import (
    DEPLOYED,
    KEYS,
    VERSIONS,
    is_signed,
    read_record,
    record_text,
    signed,
    signing_keys,
    verify,
    write_deployment,
)
from models_ml.deployment.logs import (
    DEPLOYMENT_LOG,
    Event,
    deployed_before,
    event_by_hand,
    read_events,
)
from models_ml.deployment.record import DeploymentRecord, misfits
from models_ml.deployment.switch import Switch, one_writer, settle, switch
from models_ml.deployment.tracking import Tracker
from models_ml.errors import BayesPilotError
from models_ml.files import write_text
from models_ml.training.context import Purpose

CANDIDATES_FOLDER = "candidates"
UNFIT = "does not fit this source as it is now"
LIST = "bayespilot versions --source {source}"


@dataclass(frozen=True)
class KeptVersion:
    """One line of the list: a version, its record (None: damaged, see ``fault``) and whether it is deployed."""

    version: str
    record: DeploymentRecord | None
    fault: str
    is_champion: bool


def keep_version(folder: Path, content: bytes, record: DeploymentRecord) -> None:
    """Keep a training's winner under its version; trained again, its latest record replaces the one before."""
    write_deployment(folder / VERSIONS / record.pipeline_version, content, record)


def keep_candidates(folder: Path, candidates: Mapping[str, tuple[bytes, DeploymentRecord]]) -> None:
    """Keep every candidate of the latest training as judged, ``candidates/<candidate>.pkl`` and ``.json``.

    They are the pipelines whose figures stand in ``pipeline_candidates``; only the winner is refitted.
    """
    target = folder / CANDIDATES_FOLDER
    for name, (content, record) in candidates.items():
        write_deployment(target, content, record, name)
    for file in target.glob("*.*"):
        if file.stem not in candidates:
            file.unlink()


def sign_versions(folder: Path, source: str) -> list[str]:
    """Sign every kept version, and what is deployed, that has no signature by the first key; return their names.

    A pipeline without signature or with one by another known key is signed; an altered one is not.

    Raises
    ------
    BayesPilotError
        If there is no key; or naming the first pipeline that fails its checksum or carries an unknown signature.
    """
    keys = signing_keys()
    if not keys:
        raise BayesPilotError(
            "there is no key to sign with", next_step=f"set {KEYS} here and wherever pipelines are read"
        )
    done = []
    with one_writer(folder):
        for place in (*(folder / VERSIONS / version for version in known_versions(folder)), folder):
            record = read_record(place, source=source)
            if record is None:
                continue
            content = verify(place, replace(record, signature=""), source, is_unsigned=True)
            if record.signature and not is_signed(record, content, keys):
                verify(place, record, source)
            if not is_signed(record, content, keys[:1]):
                write_text(place / f"{DEPLOYED}.json", record_text(signed(record, content)))
                done.append(record.pipeline_version)
    return sorted(set(done))


def known_versions(folder: Path) -> list[str]:
    """Return the names of all kept versions, in order of name; one without record was never finished."""
    return sorted(record.parent.name for record in folder.glob(f"{VERSIONS}/*/{DEPLOYED}.json"))


def read_version(folder: Path, version: str, source: str) -> tuple[bytes, DeploymentRecord]:
    """Return a kept version's pickled bytes and record after verifying them.

    Raises
    ------
    BayesPilotError
        If there is no such version, or its files are damaged, of another source or of other libraries.
    """
    target = folder / VERSIONS / version
    record = read_record(target, source=source) if version in known_versions(folder) else None
    if record is None:
        raise BayesPilotError(
            f"there is no version {version}",
            where=str(folder / VERSIONS),
            values=known_versions(folder),
            next_step=LIST.format(source=source),
        )
    content = verify(target, record, source)
    if record.pipeline_version != version:
        raise BayesPilotError(
            "the folder holds another version than its name says",
            where=str(target),
            values=[record.pipeline_version],
            next_step=LIST.format(source=source),
        )
    return content, record


def fitting_version(folder: Path, version: str, purpose: Purpose) -> tuple[bytes, DeploymentRecord]:
    """Return a verified version that was made for this purpose.

    Raises
    ------
    BayesPilotError
        As `read_version`, or naming entry by entry what does not fit.
    """
    content, record = read_version(folder, version, purpose.source)
    found = misfits(record, purpose)
    if found:
        raise BayesPilotError(
            f"version {version} {UNFIT}",
            where=str(folder / VERSIONS / version / f"{DEPLOYED}.json"),
            values=found,
            next_step=f"{LIST.format(source=purpose.source)}, or train: bayespilot train --source {purpose.source}",
        )
    return content, record


def is_deployed(folder: Path, version: str, content: bytes) -> bool:
    """Say whether exactly these bytes are deployed as this version, record and file intact."""
    try:
        record = read_record(folder)
        return (
            record is not None
            and record.pipeline_version == version
            and record.sha256 == hashlib.sha256(content).hexdigest()
            and verify(folder, record, record.source) == content
        )
    except BayesPilotError:
        return False


def promote(folder: Path, version: str, purpose: Purpose) -> tuple[DeploymentRecord, bool]:
    """Deploy a kept version; return its record, and False where it was deployed already.

    Raises
    ------
    BayesPilotError
        If the version is unknown, damaged, made with other libraries or for another purpose, or if MLflow's server
        does not answer; nothing changes.
    """
    with one_writer(folder):
        return _deploy(folder, version, purpose, "promoted", "promoted by hand")


def roll_back(folder: Path, purpose: Purpose) -> DeploymentRecord:
    """Deploy the version that was deployed before; a second rollback goes one further back.

    Raises
    ------
    BayesPilotError
        If nothing was deployed before, or it cannot be deployed any more; nothing changes.
    """
    with one_writer(folder):
        deployed = deployed_version(folder)
        target = deployed_before(read_events(folder), deployed)
        if target is None:
            raise BayesPilotError(
                "there is no earlier deployment to return to",
                where=str(folder / DEPLOYMENT_LOG),
                next_step=f"{LIST.format(source=purpose.source)}, then"
                f" bayespilot promote VERSION --source {purpose.source}",
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
    """Return every kept version, latest training first, damaged ones last; an interrupted switch is finished first."""
    settle(folder, notify=lambda message: None)
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
    tracker = Tracker(folder, purpose.source)
    tracker.check()
    if is_deployed(folder, version, content):
        record = read_record(folder) or record
        tracker.point_champion_at(record)  # also where somebody has moved it
        return record, False
    logged = event_by_hand(event, version, deployed_version(folder), reason)
    switch(folder, Switch(purpose.source, logged))
    return record, True
