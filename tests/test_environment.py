"""The same build in another place: path, link, working directory, time zone and language change nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from conftest import Project, copy_project

from models_ml.before_build import check_before_build
from models_ml.errors import BayesPilotError

DECISIONS = (
    "select * exclude (decided_at, updated_at, dbt_invocation_id) from retention_actions order by customer_id"
)
HOLD = "import sys, time, duckdb; c = duckdb.connect(sys.argv[1]); print('held', flush=True); time.sleep(float(sys.argv[2]))"


@pytest.mark.build
def test_a_build_in_another_place_decides_the_same(
    built_project: Project, small_world: Path, tmp_path: Path
) -> None:
    place = tmp_path / "Büro d'été 東京"
    place.mkdir()
    project = copy_project(place / "mon projet", Path(shutil.copytree(small_world, place / "raw data")))
    link = place / "link"
    link.symlink_to(project.folder)
    project.environment |= {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "DBT_PROFILES_DIR": str(link)}
    finished = project.run("dbt", "--no-use-colors", "build", "--project-dir", str(link), cwd=place)
    assert finished.returncode == 0, finished.output[-6000:]
    assert project.query(DECISIONS) == built_project.query(DECISIONS)


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
