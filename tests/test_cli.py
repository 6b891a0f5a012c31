"""The command line: what it lists, how fast it answers, and what its exit codes mean."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import ROOT
from typer.testing import CliRunner

from models_ml.cli import app
from models_ml.dbt_build import Outcome
from models_ml.errors import BayesPilotError
from models_ml.publish import Published
from models_ml.published_tables import UnfinishedRunError
from models_ml.terminal import Commands, say

COMMANDS = [
    "run",
    "train",
    "versions",
    "promote",
    "rollback",
    "serve",
    "what-if",
    "report",
    "publish",
    "docs",
    "app",
    "summary",
    "erase",
]
PASSED_ON = ["uplift", "simulate", "init"]  # they read their own options, and no warehouse
SLOW = {
    "duckdb",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "matplotlib",
    "mlflow",
    "dbt",
    "shap",
    "yaml",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder, as the project of this process."""
    (tmp_path / "dbt_project.yml").touch()
    for source in ("acme", "demo"):
        (tmp_path / "dbt_project" / "sources" / source).mkdir(parents=True)
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    monkeypatch.delenv("RETENTION_DB", raising=False)
    return tmp_path


def invoke(*arguments: str) -> tuple[int, str]:
    finished = CliRunner().invoke(app, list(arguments), env={**os.environ, "COLUMNS": "200"})
    return finished.exit_code, " ".join(finished.output.replace("│", " ").split())


def test_the_package_installs_the_command() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, name = scripts["bayespilot"].split(":")
    assert getattr(import_module(module), name) is app


def test_help_lists_every_command_and_imports_nothing_slow() -> None:
    code = f"""
import sys
from typer.testing import CliRunner
from models_ml.cli import app
print(CliRunner().invoke(app, ["--help"], env={{"COLUMNS": "200"}}).output)
print("slow:", sorted({SLOW!r} & set(sys.modules)))
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    listed = [
        line.split()[1] for line in output.splitlines() if line.startswith("│ ") and "--" not in line[:6]
    ]
    assert [name for name in COMMANDS + PASSED_ON if name not in listed] == []
    assert "slow: []" in output


def test_no_command_is_missing_here() -> None:
    named = [
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    ]
    assert sorted(named) == sorted(COMMANDS + PASSED_ON)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_its_source(command: str) -> None:
    code, output = invoke(command, "--help")
    assert code == 0
    assert "Usage: bayespilot " + command in output
    assert "--source" in output


@pytest.mark.parametrize(
    "arguments",
    [(name,) for name in COMMANDS if name not in ("run", "promote", "versions", "erase", "serve", "app")]
    + [("promote", "x"), ("erase", "x")],
)
def test_without_a_warehouse_every_command_names_the_next_one(
    project: Path, arguments: tuple[str, ...]
) -> None:
    code, output = invoke(*arguments, "--source", "acme")
    assert code == 1
    assert "there is no warehouse yet" in output
    assert "next: bayespilot run --source acme" in output
    assert "Traceback" not in output


def test_without_a_published_run_the_service_names_the_next_command(project: Path) -> None:
    code, output = invoke("serve", "--source", "acme")
    assert code == 1
    assert "nothing is published for the service" in output
    assert "next: bayespilot run --source acme" in output
    assert not (project / "warehouse" / "serving").exists()


def test_commands_in_an_error_name_the_source(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise BayesPilotError("no limit for offer call", next_step="dbt build -s +int_month_limits")

    monkeypatch.setattr("models_ml.summary.read_summary", fail)
    assert "next: dbt build --vars '{source: acme}' -s +int_month_limits" in invoke(
        "summary", "--source", "acme"
    )[1].replace("\n", " ")
    assert invoke("summary")[1].endswith("next: dbt build -s +int_month_limits")


def test_a_sign_that_a_log_cannot_hold_ends_no_command() -> None:
    commands = typer.Typer(cls=Commands)
    commands.command("one")(lambda: say("−5 EUR"))
    commands.command("other")(lambda: None)
    finished = CliRunner(charset="ascii").invoke(commands, ["one"])
    assert (finished.exit_code, finished.output) == (0, "?5 EUR\n")


def test_a_full_disk_is_said_in_words() -> None:
    def fail() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "reports/acme/policy.html")

    commands = typer.Typer(cls=Commands)
    commands.command("one")(fail)
    commands.command("other")(lambda: None)
    finished = CliRunner().invoke(commands, ["one"])
    assert finished.exit_code == 1
    assert finished.output.splitlines() == [
        "the disk is full",
        "  where: reports/acme/policy.html",
        "  next: make room, then run the command again",
    ]


def test_outside_the_project_it_says_where_to_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    for command in ("summary", "run", "simulate"):
        code, output = invoke(command)
        assert (code, "not the BayesPilot project folder" in output) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("unknown",), "No such command"),
        (("promote",), "Missing argument"),
        (("run", "--vars", "[1, 2]"), "must be a mapping"),
        (("run", "--vars", "{a"), "is not YAML"),
        (("run", "--vars", "{source: acme}"), "give one"),
        (("what-if", "--budget", "a lot"), "numbers separated by commas"),
        (("what-if", "--capacity", "call=2.5"), "whole numbers"),
        (("what-if", "--capacity", "call=,"), "holds no number"),
    ],
)
def test_wrong_usage_is_exit_code_two(project: Path, arguments: tuple[str, ...], says: str) -> None:
    code, output = invoke(*arguments)
    assert (code, says in output) == (2, True), output


class TestRun:
    """The steps around the build; the build itself is another module's."""

    @pytest.fixture
    def asked(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """What the build was asked for; it ends as ``asked["outcome"]`` says."""
        asked: dict[str, Any] = {"outcome": Outcome(counts={"pass": 3, "total": 3})}

        def build(source: str, options: object, variables: object, log: Path, progress: object) -> Outcome:
            asked.update(source=source, options=options, variables=variables, log=log)
            return asked["outcome"]

        monkeypatch.setattr("models_ml.run.build", build)
        monkeypatch.setattr("models_ml.publish.publish", self.refuse)
        return asked

    @staticmethod
    def refuse(*_: object) -> int:
        raise BayesPilotError("publishing was reached")

    def test_options_reach_dbt(self, asked: dict[str, Any], project: Path) -> None:
        code, output = invoke(
            "run", "--source", "acme", "--vars", "{monthly_budget: 5, as_of_date: 2026-10-01}", "--selector",
            "decide", "--full-refresh",
        )  # fmt: skip
        assert code == 1
        assert "publishing was reached" in output
        assert asked["source"] == "acme"
        assert asked["options"] == ["--selector", "decide", "--full-refresh"]
        assert (
            json.dumps(asked["variables"], default=str) == '{"monthly_budget": 5, "as_of_date": "2026-10-01"}'
        )
        assert asked["log"] == project / "logs" / "run_acme.log"

    def test_warnings_are_lines_and_do_not_stop_it(self, asked: dict[str, Any]) -> None:
        asked["outcome"] = Outcome(
            counts={"warn": 2, "total": 2}, warnings=["first: 1 row", "second: 2 rows"]
        )
        output = CliRunner().invoke(app, ["run"]).output.splitlines()
        assert "2 nodes: 2 warned" in output[0]
        assert output[1:3] == ["  warning: first: 1 row", "  warning: second: 2 rows"]
        assert output[3] == "publishing was reached"

    def test_what_fails_once_the_run_is_published_does_not_stop_the_reports(
        self, asked: dict[str, Any], project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stop(*_: object) -> None:
            raise BayesPilotError("the reports were reached")

        published = Published(3, project / "runs" / "new", ("the run is published, but …",))
        monkeypatch.setattr("models_ml.publish.publish", lambda *_: published)
        monkeypatch.setattr("models_ml.run.write_reports", stop)
        code, output = invoke("run")
        assert code == 1
        assert "3 rows of retention_actions" in output
        assert "warning: the run is published, but …" in output
        assert "the reports were reached" in output
        assert "warning: the run is published, but …" in invoke("publish")[1]

    @pytest.mark.parametrize(
        ("options", "code", "says"),
        [(("--selector", "features"), 0, "builds only a part of a run"), ((), 1, "part of a run was built")],
    )
    def test_a_part_of_a_run_is_not_published(
        self,
        asked: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
        options: tuple[str, ...],
        code: int,
        says: str,
    ) -> None:
        def refuse(*_: object) -> None:
            raise UnfinishedRunError("part of a run was built")

        monkeypatch.setattr("models_ml.publish.publish", refuse)
        ended, output = invoke("run", *options)
        assert (ended, says in output) == (code, True), output

    @pytest.mark.parametrize("exit_code", [1, 2])
    def test_a_failing_node_is_shown_in_full_and_ends_the_run(
        self, asked: dict[str, Any], exit_code: int
    ) -> None:
        asked["outcome"] = Outcome(
            counts={"pass": 1, "error": 1, "skip": 4, "total": 6},
            failures=["Failure in model one\n  line 1\n  next: dbt build -s one"],
            exit_code=exit_code,
        )
        code, output = invoke("run", "--source", "acme")
        assert code == exit_code
        for expected in ("1 failed", "4 skipped", "model one line 1", "next: correct", "run_acme.log"):
            assert expected in output
        assert "next: dbt build --vars '{source: acme}' -s one" in output
        assert "publishing was reached" not in output


def test_a_command_that_is_passed_on_explains_itself_and_its_errors(tmp_path: Path) -> None:
    code, output = invoke("uplift", "--help")
    assert code == 0
    assert "Usage: bayespilot uplift" in output
    assert "--treatment" in output
    needed = ("--treatment", "arm", "--outcome", "left", "--value", "1", "--cost", "1")
    code, output = invoke("uplift", str(tmp_path / "none.csv"), *needed)
    assert (code, "none.csv" in output, "Traceback" in output) == (1, True, False)
    assert invoke("uplift", "--unknown")[0] == 2


def test_simulate_passes_its_options_on(project: Path) -> None:
    script = project / "scripts" / "simulate_months.py"
    script.parent.mkdir()
    script.write_text("import sys; open('seen', 'w').write(' '.join(sys.argv[1:])); sys.exit(7)")
    code, _ = invoke("simulate", "--help", "--months", "3")
    assert code == 7
    assert Path("seen").read_text() == "--help --months 3"
    Path("seen").unlink()
