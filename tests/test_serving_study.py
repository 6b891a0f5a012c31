"""`bayespilot serve` as a process: a new run and a restart under load lose nothing."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import serving_study
import typer
from conftest import Project
from serving_data import publish_run
from serving_study import Outcome, ServedCopy, bodies_of, study

from models_ml.errors import BayesPilotError


def test_a_new_run_and_a_restart_lose_nothing(built_project: Project, tmp_path: Path) -> None:
    run = publish_run(built_project, tmp_path / "published")
    bodies = bodies_of(built_project.warehouse("demo"), customers=100, listed=5)
    found = study(ServedCopy(tmp_path / "served"), run, bodies, requests=600)
    assert found.is_sound, found
    assert sum(found.statuses.values()) == 600
    assert set(found.runs) == {"first", "second"}
    assert len(found.decisions) == len(set(found.decisions)) > 600


def test_a_request_without_an_answer_is_not_sound() -> None:
    assert Outcome(2, Counter({200: 2})).is_sound
    assert not Outcome(2, Counter({200: 1})).is_sound
    assert not Outcome(2, Counter({200: 1, 500: 1})).is_sound


class GoneForGood(ServedCopy):
    """Answers until it is stopped, and does not start again."""

    is_up = False
    starts = 0

    def publish(self, run: Path, name: str) -> None:
        """Publish nothing."""

    def start(self) -> None:
        self.starts += 1
        if self.starts > 1:
            raise BayesPilotError("the service does not answer", where=str(self.folder))
        self.is_up = True

    def stop(self) -> int:
        self.is_up = False
        return 0


def test_a_service_that_does_not_come_back_ends_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = GoneForGood(tmp_path)

    class Asking:
        def __init__(self, port: int) -> None:
            assert port == served.port

        def ask(self, *_: object) -> tuple[int, Any]:
            time.sleep(0.005)
            if not served.is_up:
                raise ConnectionRefusedError
            return 200, {"run_id": "r", "pipeline_version": "p", "decision_id": "d"}

    monkeypatch.setattr(serving_study, "Caller", Asking)
    before = set(threading.enumerate())
    with pytest.raises(BayesPilotError, match="does not answer"):
        study(served, tmp_path, [b""], requests=60)
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=5)
        assert not thread.is_alive()


def test_nothing_to_serve_is_said_with_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETENTION_DB", str(tmp_path / "demo.duckdb"))
    with pytest.raises(typer.Exit):
        serving_study.main(requests=30)
    assert "bayespilot run" in capsys.readouterr().err
