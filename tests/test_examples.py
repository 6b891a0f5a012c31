"""The examples of schedulers: what they run exists, and Dagster loads every model."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from conftest import ROOT, Project

from models_ml.cli import app

EXAMPLES = ROOT / "scripts" / "examples"


def test_the_crontab_runs_a_command_that_exists() -> None:
    lines = (EXAMPLES / "crontab").read_text(encoding="utf-8").splitlines()
    (job,) = [line for line in lines if line and not line.startswith("#") and not re.match(r"[A-Z_]+=", line)]
    schedule, shell = job.split("  ", 1)
    assert len(schedule.split()) == 5
    assert subprocess.run(["sh", "-n", "-c", shell], check=False).returncode == 0
    (command,) = re.findall(r"bayespilot (\w+[^>]*)>>", shell)
    name, *arguments = shlex.split(command)
    typer.main.get_command(app).commands[name].make_context(name, arguments)  # type: ignore[attr-defined]


def test_a_failing_run_mails_its_log_and_fails(tmp_path: Path) -> None:
    job = (EXAMPLES / "crontab").read_text(encoding="utf-8").splitlines()[-1].split("  ", 1)[1]
    command = tmp_path / ".venv" / "bin" / "bayespilot"
    command.parent.mkdir(parents=True)
    for code, said in ((0, ""), (1, "a node failed\n")):
        command.write_text(f"#!/bin/sh\necho a node failed\nexit {code}\n")
        command.chmod(0o755)
        (tmp_path / "nightly.log").unlink(missing_ok=True)
        shell = job.replace("/path/to/bayespilot", str(tmp_path))
        finished = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False)
        assert (finished.returncode, finished.stdout) == (code, said)


def test_dagster_loads_every_model(built_project: Project) -> None:
    pytest.importorskip("dagster_dbt", reason="Dagster is not installed: pip install dagster dagster-dbt")
    example = built_project.folder / "scripts" / "examples" / "dagster_definitions.py"
    example.parent.mkdir(parents=True, exist_ok=True)
    example.write_text((EXAMPLES / "dagster_definitions.py").read_text(encoding="utf-8"), encoding="utf-8")
    load = (
        f"import json, runpy; defs = runpy.run_path({str(example)!r})['defs'];"
        " keys = {key.to_user_string() for key in defs.resolve_all_asset_keys()};"
        " job = defs.resolve_job_def('nightly');"
        " print(json.dumps([sorted(keys), job.name]))"
    )
    finished = built_project.run(sys.executable, "-c", load)
    assert finished.returncode == 0, finished.output
    keys, job = json.loads(finished.stdout.splitlines()[-1])
    manifest = json.loads((built_project.folder / "target" / "manifest.json").read_text(encoding="utf-8"))
    models = {node["name"] for node in manifest["nodes"].values() if node["resource_type"] == "model"}
    assert models <= {key.split("/")[-1] for key in keys}
    assert "published_copy" in keys
    assert job == "nightly"
