"""The same build in another place: path, link, working directory, time zone and language change nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from conftest import DECISIONS, Project, copy_project
from dbt_project_copy import ProjectCopy

from models_ml.errors import BayesPilotError
from models_ml.run import check_before_build

# What may differ between two builds of the same inputs, by table.
OF_THE_RUN = "decided_at, updated_at, dbt_invocation_id"
COMPARED = {
    "retention_actions": OF_THE_RUN,
    "retention_actions_history": OF_THE_RUN,
    "customer_features": "",
    "churn_labels": "",
    "churn_scores": "",
    "policy_runs": "",
    "pipeline_candidates": "",
    "quarantine": "",
    "offer_effects": "",
}
HOLD = "import sys, time, duckdb; c = duckdb.connect(sys.argv[1]); print('held', flush=True); time.sleep(float(sys.argv[2]))"


@pytest.mark.build
def test_a_build_from_scratch_in_another_place_agrees_bit_for_bit(
    built_project: Project, small_world: Path, tmp_path: Path
) -> None:
    place = tmp_path / "Büro d'été 東京"
    place.mkdir()
    project = copy_project(place / "mon projet", Path(shutil.copytree(small_world, place / "raw data")))
    link = place / "link"
    link.symlink_to(project.folder)
    project.environment |= {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "DBT_PROFILES_DIR": str(link)}
    compared = [f"+{table}" for table in COMPARED]
    command = ("dbt", "--no-use-colors", "build", *DECISIONS, *compared, "--project-dir", str(link))
    finished = ProjectCopy.run(project, *command, cwd=place)  # Python reads some of these as it starts
    assert finished.returncode == 0, finished.output[-6000:]
    for table, left_out in COMPARED.items():
        sql = f"select {f'* exclude ({left_out})' if left_out else '*'} from {table} order by all"
        assert project.query(sql) == built_project.query(sql), table


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with a small warehouse, as far as a build looks before it starts dbt."""
    (tmp_path / "dbt_project" / "sources" / "demo").mkdir(parents=True)
    (tmp_path / "dbt_project.yml").touch()
    (tmp_path / "warehouse").mkdir()
    duckdb.connect(str(tmp_path / "warehouse" / "demo.duckdb")).close()
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    monkeypatch.delenv("RETENTION_DB", raising=False)
    return tmp_path


def test_a_second_build_waits_for_the_first(project: Path) -> None:
    file = str(project / "warehouse" / "demo.duckdb")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, file, "2"], stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        first.stdout.readline()
        told: list[str] = []
        check_before_build("demo", told.append, wait_seconds=60.0)
        assert set(told) == {"waiting for the process that holds the warehouse"}
        assert first.wait() == 0


def test_a_second_build_gives_up_in_words(project: Path) -> None:
    file = str(project / "warehouse" / "demo.duckdb")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, file, "60"], stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        first.stdout.readline()
        began = time.monotonic()
        with pytest.raises(BayesPilotError, match="the warehouse is in use") as refused:
            check_before_build("demo", lambda _: None, wait_seconds=0.5)
        assert time.monotonic() - began < 30
        assert str(first.pid) in str(refused.value)
        first.kill()


def test_a_folder_that_cannot_be_written_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != project / "warehouse")
    with pytest.raises(BayesPilotError, match="the folder cannot be written") as refused:
        check_before_build("demo", lambda _: None)
    assert str(project / "warehouse") in str(refused.value)


def test_a_first_build_needs_no_warehouse(project: Path) -> None:
    (project / "warehouse" / "demo.duckdb").unlink()
    check_before_build("demo", lambda _: None)
