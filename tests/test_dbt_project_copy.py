"""Copies of the project: what is copied, what commands inherit, what they use, and how a failure is reported."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import pytest
from dbt_project_copy import COPIED, PROJECT, ProjectCopy, run_command, usage

from models_ml.errors import BayesPilotError


def test_a_copy_holds_what_dbt_needs_and_raw_files_only_on_request(tmp_path: Path) -> None:
    bundled = ProjectCopy.create(tmp_path / "bundled")
    other = ProjectCopy.create(tmp_path / "other", tmp_path / "raw")
    for copy in (bundled, other):
        assert {entry.name for entry in copy.folder.iterdir()} == {*COPIED, "warehouse", "models_ml"}
        assert not list((copy.folder / "warehouse").iterdir())
        read, original = (folder / "dbt_project.yml" for folder in (copy.folder, PROJECT))
        assert read.read_bytes() == original.read_bytes()
    assert (bundled.folder / "seeds" / "raw" / "demo" / "customers.parquet").is_file()
    assert not (other.folder / "seeds" / "raw").exists()


def test_a_folder_with_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(BayesPilotError, match="not empty"):
        ProjectCopy.create(tmp_path)


def test_commands_do_not_inherit_settings_of_the_callers_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RETENTION_DB", "RETENTION_DATA", "DBT_TARGET", "MLFLOW_TRACKING_URI", "UNRELATED"):
        monkeypatch.setenv(name, "of the caller")
    copy = ProjectCopy(tmp_path, tmp_path / "raw", {"RETENTION_MEMORY_LIMIT": "1GB"})
    own = ("DBT_", "RETENTION_", "MLFLOW_")
    settings = {name: value for name, value in copy.variables.items() if name.startswith(own)}
    assert settings == {
        "DBT_PROFILES_DIR": str(tmp_path),
        "RETENTION_DATA": str(tmp_path / "raw"),
        "RETENTION_MEMORY_LIMIT": "1GB",
    }  # fmt: skip
    assert copy.variables["UNRELATED"] == "of the caller"
    assert copy.variables["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_another_warehouse_may_be_named(tmp_path: Path) -> None:
    assert ProjectCopy(tmp_path).warehouse("shop") == tmp_path / "warehouse" / "shop.duckdb"
    assert ProjectCopy(tmp_path, None, {"RETENTION_DB": "/a/b.duckdb"}).warehouse() == Path("/a/b.duckdb")


def test_a_command_reports_exit_code_output_and_usage(tmp_path: Path) -> None:
    code = (
        "import sys, time; used = bytearray(300_000_000); print('out'); print('err', file=sys.stderr)\n"
        "while time.process_time() < 0.5: pass\n"
        "sys.exit(3)"
    )
    finished = run_command([sys.executable, "-c", code], cwd=tmp_path, environment={})
    assert (finished.returncode, finished.stdout, finished.stderr) == (3, "out\n", "err\n")
    assert finished.output == "out\nerr\n"
    assert finished.usage.seconds >= 0.4
    assert 0.5 <= finished.usage.cpu_seconds < 3
    own_peak = usage(0.0, resource.getrusage(resource.RUSAGE_SELF)).peak_mb  # the least that Linux reports
    assert 300 < finished.usage.peak_mb < max(400, 1.01 * own_peak)


def test_a_failed_build_ends_with_the_last_lines_of_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dbt = tmp_path / "bin" / "dbt"
    dbt.parent.mkdir()
    dbt.write_text('#!/bin/sh\nfor i in $(seq 1 50); do echo "line $i of $*"; done\nexit 1\n')
    dbt.chmod(0o755)
    copy = ProjectCopy(tmp_path, None, {"PATH": f"{dbt.parent}{os.pathsep}{os.environ['PATH']}"})
    with pytest.raises(BayesPilotError) as raised:
        copy.build("--select", "x")
    lines = str(raised.value).splitlines()
    assert lines[0] == "dbt build failed:"
    assert lines[1:-1] == [f"line {number} of --no-use-colors build --select x" for number in range(11, 51)]
    assert lines[-1] == f"  where: {tmp_path}"
