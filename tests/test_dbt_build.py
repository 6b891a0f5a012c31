"""What a build shows of dbt's events: progress, warnings in a line, faults in full, and a log of everything."""

from __future__ import annotations

import errno
import io
import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Project

from models_ml import dbt_build
from models_ml.dbt_build import Outcome, build, follow

NODE = {"node_name": "policy_runs"}


def event(name: str, msg: str, level: str = "info", **data: Any) -> str:
    info = {"name": name, "msg": msg, "level": level, "ts": "2026-11-01T04:15:59.1Z"}
    return json.dumps({"info": info, "data": data}) + "\n"


def followed(*lines: str) -> tuple[Outcome, str, list[tuple[int, int, str]]]:
    log, seen = io.StringIO(), []
    outcome = follow(lines, log, lambda *told: seen.append(told))
    return outcome, log.getvalue(), seen


def test_progress_counts_finished_nodes() -> None:
    _, log, seen = followed(
        event("LogStartLine", "1 of 3 START", index=1, total=3, node_info=NODE),
        event("LogModelResult", "1 of 3 OK", index=1, total=3, node_info=NODE),
        event("AdapterEventInfo", "BayesPilot: fitting", base_msg="fitting boosting", node_info=NODE),
        event("LogTestResult", "3 of 3 PASS", index=3, num_models=3, node_info=NODE, status="pass"),
    )
    assert seen == [
        (0, 3, "policy_runs"), (1, 3, "policy_runs"), (1, 3, "fitting boosting"), (2, 3, "policy_runs"),
    ]  # fmt: skip
    assert log.splitlines()[1] == "04:15:59 info  1 of 3 OK"


def test_a_warning_is_one_line_with_its_file() -> None:
    outcome, _, _ = followed(
        event("LogTestResult", "WARN 2", "warn", index=1, num_models=1, node_info=NODE, status="warn"),
        event("Deprecated", "\x1b[33mone thing\x1b[0m\nis deprecated", "warn"),
        event(
            "RunResultWarning", "…", "warn", node_name="nothing_moved", path="data_tests/nothing_moved.sql"
        ),
        event("RunResultWarningMessage", "Got 2 results, configured to warn if != 0", "warn"),
        event("StatsLine", "Done.", stats={"pass": 7, "warn": 1, "error": 0, "skip": 0, "total": 8}),
    )
    assert outcome.warnings == [
        "one thing",
        "nothing_moved (data_tests/nothing_moved.sql): Got 2 results, configured to warn if != 0",
    ]
    assert outcome.headline == "8 nodes: 7 passed, 1 warned"
    assert outcome.failures == []


def test_a_failing_node_is_told_once_and_in_full() -> None:
    own = "  Python model failed:\n  Traceback …\n  File x\n  models_ml.errors.BayesPilotError: no rows\n    next: do"
    outcome, log, _ = followed(
        event("LogModelResult", "1 of 2 ERROR", "error", index=1, total=2, node_info=NODE),
        event("RunResultFailure", "\x1b[31mFailure in model one (one.sql)\x1b[0m", "error"),
        event("RunResultError", "  Parser Error\n  LINE 5", "error"),
        event("SQLCompiledPath", "  compiled code at target/one.sql"),
        event("RunResultFailure", "Failure in model two (two.py)", "error"),
        event("RunResultError", own, "error"),
    )
    assert outcome.faults == [
        "Failure in model one (one.sql)\n  Parser Error\n  LINE 5\n  compiled code at target/one.sql",
        "Failure in model two (two.py)\nno rows\n    next: do",
    ]
    assert "Traceback" in log, "the log keeps everything"


def test_what_stops_dbt_before_the_first_node_is_a_fault() -> None:
    outcome, _, _ = followed(event("MainEncounteredError", "Encountered an error:\nno such ref", "error"))
    assert outcome.faults == ["Encountered an error:\nno such ref"]
    assert outcome.headline == "0 nodes: nothing ran"


def test_an_end_without_a_fault_shows_the_last_words() -> None:
    outcome, log, _ = followed(event("Any", "starting"), "Killed by the system\n")
    assert outcome.faults == ["starting\nKilled by the system"]
    assert log.endswith("Killed by the system\n")


def test_the_command_the_exit_code_and_the_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for dbt, beside this Python, writes down how it was called."""
    (tmp_path / "dbt_project.yml").touch()
    dbt = tmp_path / "bin" / "dbt"
    dbt.parent.mkdir()
    dbt.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "kept = {name: os.environ.get(name) for name in ('RETENTION_DB', 'RETENTION_DATA', 'DBT_PROFILES_DIR')}\n"
        "json.dump([sys.argv[1:], os.getcwd(), kept], open('called.json', 'w'))\n"
        "print('no event', file=sys.stderr); sys.exit(2)\n"
    )
    dbt.chmod(dbt.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(dbt.with_name("python")))
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    monkeypatch.setenv("RETENTION_DB", "here.duckdb")
    monkeypatch.setenv("RETENTION_DATA", "s3://bucket/raw")
    log = tmp_path / "logs" / "run_acme.log"
    outcome = build("acme", ["--full-refresh"], {"budget": 5}, log, lambda *_: None)
    arguments, folder, kept = json.loads((tmp_path / "called.json").read_text())
    assert outcome.exit_code == 2
    assert outcome.faults == ["no event"]
    assert log.read_text() == "no event\n"
    assert folder == str(tmp_path)
    assert kept == {
        "RETENTION_DB": str(Path("here.duckdb").resolve()),
        "RETENTION_DATA": "s3://bucket/raw",
        "DBT_PROFILES_DIR": str(tmp_path),
    }
    assert arguments[arguments.index("build") :] == [
        "build", "--full-refresh", "--vars", '{"source": "acme", "budget": 5}',
    ]  # fmt: skip


def test_a_log_that_cannot_be_written_ends_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "dbt"
    program.write_text("#!/bin/sh\nyes a long line of dbt\n")
    program.chmod(0o755)
    monkeypatch.setattr(dbt_build, "dbt_program", lambda: str(program))
    with pytest.raises(OSError, match="/dev/full") as raised:
        build("demo", [], {}, Path("/dev/full"), lambda *_: None)
    assert raised.value.errno == errno.ENOSPC


@pytest.mark.build
def test_a_failing_node_of_a_real_build_is_shown(fresh_copy: Project) -> None:
    """A broken model and a refused seed value: the first in dbt's words, the second in the project's own."""
    model = fresh_copy.folder / "dbt_project" / "models" / "decisions" / "int_broken.sql"
    model.write_text("select * frm {{ ref('int_run') }}\n")
    finished = fresh_copy.run("python", "-m", "models_ml.cli", "run", "--selector", "decide")
    assert finished.returncode == 1, finished.stdout
    assert "Failure in model int_broken" in finished.stderr
    assert "Parser Error" in finished.stderr
    assert "next: correct what is named above, then bayespilot run --source demo" in finished.stderr
    assert len(finished.stdout.splitlines()) == 1, finished.stdout
    assert not (fresh_copy.folder / "warehouse" / "published").exists()
    assert "int_broken" in (fresh_copy.folder / "logs" / "run_demo.log").read_text()
    model.unlink()


@pytest.mark.build
def test_a_run_builds_publishes_reports_and_sums_up(fresh_copy: Project) -> None:
    changed = ("--vars", "{monthly_budget: 700}")  # as the README has it
    finished = fresh_copy.run("python", "-m", "models_ml.cli", "run", "--selector", "decide", *changed)
    assert finished.returncode == 0, finished.stderr
    assert fresh_copy.query("select monthly_budget from policy_runs") == [(700.0,)]
    lines = finished.stdout.splitlines()
    steps = [line.split()[0] for line in lines if line.split()[:1] in (["build"], ["publish"], ["reports"])]
    assert steps == ["build", "publish", "reports"]
    run = fresh_copy.folder / "warehouse" / "published" / "demo" / "current"
    assert (run / "retention.duckdb").is_file()
    for page in ("policy.html", "monitoring.html"):
        assert (fresh_copy.folder / "reports" / "demo" / page).is_file()
    [(contacts, planned, trial)] = fresh_copy.query(
        "select contacts, planned_contacts, coalesce(trial_contacts, 0) from policy_runs"
    )
    done = next(line for line in lines if line.startswith("│ Total"))
    assert f" {contacts} " in done
    assert any(line.startswith("│ planned") and f" {planned - trial} " in line for line in lines)
    assert any(line.startswith("│ withheld") and f" {contacts - planned} " in line for line in lines)
    assert len(lines) < 90
