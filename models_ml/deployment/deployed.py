"""The files of a pipeline: the pickle beside its record, which is checked before anything is unpickled.

``deployed_pipeline.json`` says what is deployed. While a command switches from one version to another, the pickle
beside it may still be that of the other version; readers then take the record's own pickle from the kept versions.

A signature is an HMAC over pickle and record, with keys that only the environment holds. Whoever can write the folder
of artifacts can run code in whatever reads it, unless ``BAYESPILOT_SIGNING_KEY`` is set where pipelines are made and
read: then an unsigned or altered pipeline is refused before it is unpickled. The variable holds one key, or several
separated by commas: the first one signs, all of them are accepted, so that a new key can come before the old one goes.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import io
import json
import os
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import joblib

from models_ml.deployment.record import FORMAT, LATER_ENTRIES, DeploymentRecord, library_versions, misfits
from models_ml.errors import BayesPilotError
from models_ml.files import files_aside
from models_ml.training.context import Purpose
from models_ml.training.pipeline import ChurnPipeline
from models_ml.warehouse import build_command

VERSIONS = "versions"  # folder of the kept versions
SWITCH = "switch.json"  # stands while what is deployed changes (models_ml.deployment.switch)
DEPLOYED = "deployed_pipeline"
ANY_SOURCE = "SOURCE"  # stands in commands where the source is not known

KEYS = "BAYESPILOT_SIGNING_KEY"


def write_deployment(folder: Path, content: bytes, record: DeploymentRecord, stem: str = DEPLOYED) -> None:
    """Write the pickle and its record aside, then switch each, the record last: a mixture fails the checksum."""
    record = signed(record, content)
    with files_aside(folder, last=f"{stem}.json") as aside:
        (aside / f"{stem}.pkl").write_bytes(content)
        (aside / f"{stem}.json").write_text(record_text(record), encoding="utf-8")


def record_text(record: DeploymentRecord) -> str:
    """Return the content of a record's file."""
    return json.dumps(asdict(record), indent=2) + "\n"


def read_record(folder: Path, stem: str = DEPLOYED, *, source: str = ANY_SOURCE) -> DeploymentRecord | None:
    """Read the record, or None where nothing has been deployed; errors name commands for ``source``.

    Raises
    ------
    BayesPilotError
        If the file is not a record of this format.
    """
    path = folder / f"{stem}.json"
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _broken(f"the record is not JSON ({error})", path, [], source) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise _broken(f"the record is not of format {FORMAT}", path, [found], source)
    may_lack = {"signature", *LATER_ENTRIES}
    different = sorted({field.name for field in fields(DeploymentRecord)} ^ {*may_lack, *content})
    if different:
        raise _broken("the record has missing or unknown entries", path, different, source)
    return DeploymentRecord(**content)


def verify(
    folder: Path, record: DeploymentRecord, source: str, stem: str = DEPLOYED, *, is_unsigned: bool = False
) -> bytes:
    """Return the pickled bytes after checking source, library versions, checksum and signature, in this order.

    Parameters
    ----------
    is_unsigned : bool
        Whether the signature is left out, because it is about to be made.

    Raises
    ------
    BayesPilotError
        Naming what differs; such a pipeline is never replaced unless retraining is asked for.
    """
    path, name = folder / f"{stem}.pkl", f"pipeline {record.pipeline_version}"
    if record.source != source:
        found = [f"{record.source}, not {source}"]
        raise _broken(f"{name} belongs to another source", path, found, source)
    installed = library_versions()
    other = [
        f"{name} {record.libraries.get(name)} then, {installed.get(name)} now"
        for name in sorted(record.libraries.keys() | installed.keys())
        if record.libraries.get(name) != installed.get(name)
    ]
    if other:
        raise _broken(f"{name} was made with other library versions", path, other, source)
    if not path.is_file():
        raise _broken(f"the record of {name} stands without its pipeline file", path, [], source)
    content = path.read_bytes()
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != record.sha256:
        differing = [f"{checksum[:12]}…, not {record.sha256[:12]}…"]
        raise _broken(f"{name} fails its checksum", path, differing, source)
    keys = [] if is_unsigned else signing_keys()
    if keys and not is_signed(record, content, keys):
        raise BayesPilotError(
            "the signature of the pipeline is not by a known key"
            if record.signature
            else "the pipeline is not signed",
            where=str(path),
            values=[record.pipeline_version],
            next_step=f"if its origin is known, bayespilot versions --sign --source {source};"
            f" otherwise {_retrain(source)}",
        )
    return content


def read_deployed(folder: Path, source: str) -> tuple[DeploymentRecord, bytes] | None:
    """Return record and verified pickle of what is deployed, None where nothing is.

    Raises
    ------
    BayesPilotError
        As `read_record` and `verify`.
    """
    while True:
        record = read_record(folder, source=source)
        if record is None:
            return None
        try:
            return record, verify(folder, record, source)
        except BayesPilotError:
            if is_between_versions(folder):
                with contextlib.suppress(BayesPilotError):
                    return record, verify(folder / VERSIONS / record.pipeline_version, record, source)
            if read_record(folder) == record:  # otherwise another command has switched meanwhile
                raise


def is_between_versions(folder: Path) -> bool:
    """Say whether a switch is under way or was interrupted, so that pickle and record may be of different versions.

    A pickle that no kept version has is damaged, not between versions.
    """
    if (folder / SWITCH).is_file():
        return True
    path = folder / f"{DEPLOYED}.pkl"
    if not path.is_file():
        return False
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    return any(
        isinstance(kept, dict) and kept.get("sha256") == checksum
        for kept in (_json_of(record) for record in folder.glob(f"{VERSIONS}/*/{DEPLOYED}.json"))
    )


def load_deployed(folder: Path, purpose: Purpose) -> tuple[ChurnPipeline, DeploymentRecord]:
    """Return the deployed pipeline, everything verified before it is unpickled.

    Raises
    ------
    BayesPilotError
        If there is none, its files are not what the record says, or it was made for another purpose.
    """
    deployed = read_deployed(folder, purpose.source)
    if deployed is None:
        raise BayesPilotError(
            "nothing is deployed yet",
            where=str(folder),
            next_step=f"{build_command(purpose.source)} (it trains where nothing fits)",
        )
    record, content = deployed
    found = misfits(record, purpose)
    if found:
        raise BayesPilotError(
            "the deployed pipeline does not fit this run",
            where=str(folder / f"{DEPLOYED}.json"),
            values=found,
            next_step=f"{build_command(purpose.source)} (it trains where nothing fits), or {_retrain(purpose.source)}",
        )
    return unpickle(content, folder / f"{DEPLOYED}.pkl"), record


def unpickle(content: bytes, path: Path) -> ChurnPipeline:
    """Return the pipeline in the bytes that `verify` has returned.

    Raises
    ------
    BayesPilotError
        If they hold something else.
    """
    pipeline = joblib.load(io.BytesIO(content))
    if not isinstance(pipeline, ChurnPipeline):
        raise _broken("the file holds something else than a pipeline", path, [])
    return pipeline


def _retrain(source: str) -> str:
    return build_command(source, "--vars '{retrain: true}'")


def _broken(what: str, path: Path, values: list[Any], source: str = ANY_SOURCE) -> BayesPilotError:
    of_source = f"--source {source}"
    step = (
        f"deploy another kept version (bayespilot versions {of_source}, then bayespilot promote VERSION {of_source}),"
        f" or {_retrain(source)}"
    )
    return BayesPilotError(what, where=str(path), values=values, next_step=step)


def _json_of(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def signing_keys() -> list[bytes]:
    """Return the keys, none where nothing is to be signed."""
    return [key.strip().encode() for key in os.environ.get(KEYS, "").split(",") if key.strip()]


def signed(record: DeploymentRecord, content: bytes) -> DeploymentRecord:
    """Return the record with a signature by the first key, or without one where there is no key."""
    keys = signing_keys()
    return replace(record, signature=signature(record, content, keys[0]) if keys else "")


def is_signed(record: DeploymentRecord, content: bytes, keys: list[bytes]) -> bool:
    """Say whether one of the keys has signed pickle and record as they are."""
    return any(hmac.compare_digest(signature(record, content, key), record.signature) for key in keys)


def signature(record: DeploymentRecord, content: bytes, key: bytes) -> str:
    """Return the HMAC-SHA256 over the record, its signature left out, and the pickle.

    The record comes first as the SHA-256 of its sorted JSON, of fixed length, so that no byte can move from one to
    the other. Later entries that it lacks are left out: what was signed without them stays signed.
    """
    lacking = {name for name in LATER_ENTRIES if getattr(record, name) is None}
    unsigned = {name: value for name, value in asdict(record).items() if name not in {"signature", *lacking}}
    digest = hashlib.sha256(json.dumps(unsigned, sort_keys=True).encode()).digest()
    return hmac.new(key, digest + content, hashlib.sha256).hexdigest()
