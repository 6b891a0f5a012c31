"""Signatures: once a key is set, only what it signed is unpickled; keys can be changed."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import test_deployment_control as control
import training_data as data
from typer.testing import CliRunner

from models_ml.cli import app
from models_ml.deployment import deployed
from models_ml.deployment.deployed import DEPLOYED, KEYS, load_deployed, read_deployed, signature
from models_ml.deployment.record import LATER_ENTRIES
from models_ml.deployment.versions import kept_versions, promote, sign_versions
from models_ml.errors import BayesPilotError
from models_ml.training.context import Purpose, read_purpose, warehouse_tables

project_of_two = control.project_of_two
project = control.project
folder = control.folder


@pytest.fixture(scope="module")
def purpose() -> Purpose:
    return read_purpose(data.warehouse(customers=1), warehouse_tables())


@pytest.fixture
def no_unpickling(monkeypatch: pytest.MonkeyPatch) -> None:
    def unpickled(*_: object) -> None:
        raise AssertionError("unpickled before its signature was checked")

    monkeypatch.setattr(deployed.joblib, "load", unpickled)


def edit_record(folder: Path, **changes: object) -> None:
    path = folder / f"{DEPLOYED}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def other_pickle(folder: Path) -> None:
    """Put another pickle there, with its right checksum in the record."""
    content = b"cos\nsystem\n(S'true'\ntR."
    (folder / f"{DEPLOYED}.pkl").write_bytes(content)
    edit_record(folder, sha256=hashlib.sha256(content).hexdigest())


ALTERATIONS: dict[str, Callable[[Path], None]] = {
    "another pickle": other_pickle,
    "a figure of the record": lambda folder: edit_record(folder, trained_at="2020-01-01T00:00:00+00:00"),
    "the version": lambda folder: edit_record(folder, pipeline_version="other-1"),
    "no signature": lambda folder: edit_record(folder, signature=""),
    "an invented signature": lambda folder: edit_record(folder, signature="0" * 64),
}


def test_a_record_signed_before_it_had_later_entries_stays_signed(
    folder: Path, purpose: Purpose, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / f"{DEPLOYED}.json"
    earlier = {
        name: value for name, value in json.loads(path.read_text()).items() if name not in LATER_ENTRIES
    }
    unsigned = {name: value for name, value in earlier.items() if name != "signature"}
    digest = hashlib.sha256(json.dumps(unsigned, sort_keys=True).encode()).digest()
    mac = hmac.new(b"first key", digest + (folder / f"{DEPLOYED}.pkl").read_bytes(), hashlib.sha256)
    path.write_text(json.dumps(earlier | {"signature": mac.hexdigest()}))
    monkeypatch.setenv(KEYS, "first key")
    assert load_deployed(folder, purpose)[1].resume_grace_days is None


@pytest.mark.usefixtures("no_unpickling")
@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_what_is_altered_or_unsigned_is_refused_before_unpickling(
    folder: Path, purpose: Purpose, monkeypatch: pytest.MonkeyPatch, alteration: str
) -> None:
    monkeypatch.setenv(KEYS, "first key")
    sign_versions(folder, "demo")
    ALTERATIONS[alteration](folder)
    with pytest.raises(BayesPilotError, match=r"not signed|not by a known key"):
        load_deployed(folder, purpose)
    if alteration != "no signature":
        with pytest.raises(BayesPilotError, match="not by a known key"):
            sign_versions(folder, "demo")


@pytest.mark.usefixtures("no_unpickling")
def test_a_kept_version_without_signature_is_not_promoted(
    folder: Path, purpose: Purpose, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, _ = control.versions(folder)
    before = control.snapshot(folder)
    monkeypatch.setenv(KEYS, "first key")
    with pytest.raises(BayesPilotError, match=r"(?s)not signed.*versions --sign"):
        promote(folder, older, purpose)
    assert control.snapshot(folder) == before
    assert all("not signed" in one.fault for one in kept_versions(folder, "demo"))


def test_what_is_signed_is_read_promoted_and_trained(
    folder: Path, purpose: Purpose, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = control.versions(folder)
    monkeypatch.setenv(KEYS, "first key")
    assert sign_versions(folder, "demo") == sorted([older, newer])
    assert sign_versions(folder, "demo") == []
    assert load_deployed(folder, purpose)[1].pipeline_version == newer
    assert promote(folder, older, purpose)[1]
    record, content = read_deployed(folder, "demo") or (None, b"")
    assert record is not None
    assert record.signature == signature(record, content, b"first key")


def test_keys_are_changed_one_after_the_other(
    folder: Path, purpose: Purpose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYS, "old")
    sign_versions(folder, "demo")
    monkeypatch.setenv(KEYS, "new")
    with pytest.raises(BayesPilotError, match="not by a known key"):
        load_deployed(folder, purpose)
    monkeypatch.setenv(KEYS, "new, old")
    load_deployed(folder, purpose)
    assert len(sign_versions(folder, "demo")) == 2
    monkeypatch.setenv(KEYS, "new")
    load_deployed(folder, purpose)
    monkeypatch.delenv(KEYS)
    load_deployed(folder, purpose)


def test_the_command_signs_and_says_what_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEYS, raising=False)
    refused = CliRunner().invoke(app, ["versions", "--sign"])
    assert refused.exit_code == 1
    assert f"set {KEYS}" in refused.output
    monkeypatch.setenv(KEYS, "first key")
    done = CliRunner().invoke(app, ["versions", "--sign"])
    assert done.exit_code == 0, done.output
    assert f"signed: {', '.join(sorted(control.versions(folder)))}" in done.output
    assert "first key" not in done.output
