"""The switch of what is deployed: record, pickle, logs, report and alias change as one, by one writer at a time.

A switch is first written down whole, as ``switch.json``; from then on it is decided. Its steps follow, each of which
may be repeated: the record, the pickle, the lines of both logs, the training report, the alias in MLflow. At last the
file is removed. A crash before the file stands leaves the earlier deployment; after a later crash, the next command
takes the steps that are left. A writer holds a lock that the operating system releases when its process ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models_ml.deployment.deployed import (
    DEPLOYED,
    SWITCH,
    VERSIONS,
    is_between_versions,
    read_record,
)
from models_ml.deployment.logs import (
    DeploymentEvent,
    append_candidates,
    append_event,
    next_training_run,
    read_events,
)
from models_ml.deployment.tracking import Tracker, TrackingError
from models_ml.errors import BayesPilotError
from models_ml.files import lock_if_free, wait_for_lock, write_bytes, write_text

LOCK = ".lock"
STAGED = ".staged_report"  # the report of a training, until its switch is decided
WAIT_SECONDS = 10.0  # a promotion takes about a second; waiting out a training would look like a hang
_ASIDE = re.compile(r"\..+\.\d+")  # names that models_ml.files gives to what is not switched yet


@dataclass(frozen=True)
class Switch:
    """All that changes with one event.

    Attributes
    ----------
    event : DeploymentEvent
        Unless it is "kept", its ``deployed_version`` is deployed. The alias marks this version in any case.
    candidates : rows for the candidate log, none where the event is no training
    reports : folder that receives the staged report, None without one
    """

    source: str
    event: DeploymentEvent
    candidates: Sequence[Mapping[str, Any]] = ()
    reports: str | None = None


def switch(folder: Path, change: Switch) -> None:
    """Make a change; the caller holds the lock of `one_writer`.

    Raises
    ------
    TrackingError
        If MLflow does not move the alias. All else has changed; the next command tries the alias again.
    """
    write_text(folder / SWITCH, json.dumps(asdict(change), indent=2) + "\n")
    finish(folder)


def finish(folder: Path) -> None:
    """Take the steps that are left of a change; does nothing where there is none.

    Where the version to deploy is damaged or gone, the change is dropped and the earlier deployment stays.

    Raises
    ------
    BayesPilotError
        If a log cannot be read, or MLflow does not move the alias (`TrackingError`).
    """
    change = _read_switch(folder)
    if change is None:
        _restore_pickle(folder)
        return
    version = change.event.deployed_version
    if change.event.event == "kept" or _deploy(folder, version):
        _log(folder, change)
        _deliver_report(folder, change)
        record = read_record(folder)
        if record is not None and record.pipeline_version == version:
            Tracker(folder, change.source).point_champion_at(record)
    elif change.event.previous_version is not None:
        _deploy(folder, change.event.previous_version)
    (folder / SWITCH).unlink()
    shutil.rmtree(folder / STAGED, ignore_errors=True)


def settle(folder: Path, notify: Callable[[str], None]) -> None:
    """Finish what an interrupted command left, unless another command is at work.

    An MLflow that does not answer is reported and left to the next command: what is deployed does not depend on it.
    """
    if not ((folder / SWITCH).is_file() or _has_other_pickle(folder)):
        return
    with (
        contextlib.suppress(OSError),
        lock_if_free(folder / LOCK) as is_ours,
    ):  # a folder that is read-only is read as it is
        if not is_ours:
            return
        try:
            finish(folder)
            notify("an interrupted deployment has been completed")
        except TrackingError as error:
            notify(f"the alias of the deployed pipeline is not moved yet: {error}")


@contextlib.contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Hold the lock of a source's artifacts, after finishing what an earlier writer left.

    Raises
    ------
    BayesPilotError
        If another process holds the lock for longer than ten seconds, or files cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with wait_for_lock(folder / LOCK, WAIT_SECONDS, "another command is changing what is deployed"):
            finish(folder)
            _remove_leftovers(folder)
            yield
    except OSError as error:
        raise BayesPilotError(
            f"a file cannot be read or written: {error.strerror or error}",
            where=str(error.filename or folder),
            next_step="make room, or correct the permissions, then run this again",
        ) from error


def _read_switch(folder: Path) -> Switch | None:
    path = folder / SWITCH
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Switch(**content | {"event": DeploymentEvent(**content["event"])})
    except (ValueError, TypeError, KeyError) as error:
        raise BayesPilotError(
            f"the file of an interrupted deployment cannot be read ({error})",
            where=str(path),
            next_step="remove it and run this again: what is deployed stands beside it",
        ) from error


def _deploy(folder: Path, version: str) -> bool:
    """Copy a kept version over what is deployed, the record first; say whether it could be done."""
    kept = folder / VERSIONS / version
    try:
        record = read_record(kept)
        content = (kept / f"{DEPLOYED}.pkl").read_bytes()
    except (BayesPilotError, OSError):
        return False
    if record is None or hashlib.sha256(content).hexdigest() != record.sha256:
        return False
    as_json = (kept / f"{DEPLOYED}.json").read_bytes()
    for name, data in ((f"{DEPLOYED}.json", as_json), (f"{DEPLOYED}.pkl", content)):
        if not (folder / name).is_file() or (folder / name).read_bytes() != data:
            write_bytes(folder / name, data)
    return True


def _log(folder: Path, change: Switch) -> None:
    event = change.event
    if event.training_run is not None and next_training_run(folder) <= event.training_run:
        append_candidates(folder, [dict(row) for row in change.candidates], event.training_run)
    if event not in read_events(folder):
        append_event(folder, event)


def _deliver_report(folder: Path, change: Switch) -> None:
    staged = folder / STAGED
    if change.reports is not None and staged.is_dir():
        for file in sorted(staged.iterdir()):
            write_bytes(Path(change.reports) / file.name, file.read_bytes())


def _has_other_pickle(folder: Path) -> bool:
    """Say whether the deployed pickle is that of another kept version than the record names."""
    try:
        record = read_record(folder)
    except BayesPilotError:
        return False
    path = folder / f"{DEPLOYED}.pkl"
    return (
        record is not None
        and path.is_file()
        and hashlib.sha256(path.read_bytes()).hexdigest() != record.sha256
        and is_between_versions(folder)
    )


def _restore_pickle(folder: Path) -> None:
    """Put the record's own pickle beside it again, where that of another version stands there."""
    record = read_record(folder) if _has_other_pickle(folder) else None
    if record is not None:
        _deploy(folder, record.pipeline_version)


def _remove_leftovers(folder: Path) -> None:
    """Remove what writers that were killed had not switched yet."""
    shutil.rmtree(folder / STAGED, ignore_errors=True)
    for place in (folder, folder / "candidates", *(folder / VERSIONS).glob("*")):
        for file in place.glob(".*"):
            if _ASIDE.fullmatch(file.name):
                shutil.rmtree(file) if file.is_dir() else file.unlink()
