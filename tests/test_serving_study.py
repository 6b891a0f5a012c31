"""`bayespilot serve` as a process: a new run and a restart under load lose nothing."""

from __future__ import annotations

from pathlib import Path

from conftest import Project
from serving_data import publish_run
from serving_study import ServedCopy, bodies_of, study


def test_a_new_run_and_a_restart_lose_nothing(built_project: Project, tmp_path: Path) -> None:
    run = publish_run(built_project, tmp_path / "published")
    bodies = bodies_of(built_project.warehouse("demo"), customers=100, listed=5)
    found = study(ServedCopy(tmp_path / "served"), run, bodies, requests=600)
    assert found.is_sound, found
    assert sum(found.statuses.values()) == 600
    assert set(found.runs) == {"first", "second"}
    assert len(found.decisions) == len(set(found.decisions)) > 600
