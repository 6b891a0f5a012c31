"""Commands that are killed at random moments, and reads while the copy is written, as the fault study has them; small."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import duckdb
import pytest
import typer
from conftest import Project
from fault_study import Study, kill_many, main, read_run, read_while_writing
from typer.testing import CliRunner


@pytest.mark.parametrize("options", [["--commands", "build,publsh"], ["--kills", "0", "--reads", "0"]])
def test_nothing_to_study_is_wrong_usage(options: list[str]) -> None:
    app = typer.Typer()
    app.command()(main)
    finished = CliRunner().invoke(app, options)
    assert finished.exit_code == 2
    assert options[0] in finished.output


@pytest.fixture
def study(fresh_copy: Project) -> Study:
    study = Study(fresh_copy, random.Random(7))
    assert study.run(study.arguments("publish")).returncode == 0
    return study


def test_killed_commands_recover_and_reads_see_one_run(study: Study, tmp_path: Path) -> None:
    tallies = kill_many(study, ("publish", "erase"), 4, lambda numbers: numbers)
    for command, tally in tallies.items():
        assert tally.broken == [], command
        assert (tally.kills, tally.recovered) == (2, 2)
    assert sum(tally.before_its_end for tally in tallies.values()) > 0
    kinds, runs, faults = read_while_writing(study, 20, tmp_path / "reads", ("publish",))
    assert faults == []
    assert runs > 1
    assert min(kinds["duckdb"], kinds["parquet"]) > 5
    study.check_whole()


def test_a_mixed_run_is_noticed(study: Study) -> None:
    run_id = read_run(study.published, "")
    other = study.published / "runs" / "other"
    shutil.copytree(study.published / "runs" / run_id, other)
    (study.published / "current").unlink()
    (study.published / "current").symlink_to("runs/other")
    for kind in ("duckdb", "parquet"):
        with pytest.raises(AssertionError, match="holds files of"):
            read_run(study.published, kind)
    file = study.published / "runs" / run_id / "retention.duckdb"
    file.chmod(0o644)
    with duckdb.connect(str(file)) as connection:
        connection.execute("update retention_actions set policy_version = 'another'")
    (study.published / "current").unlink()
    (study.published / "current").symlink_to(f"runs/{run_id}")
    with pytest.raises(AssertionError, match="tell of 2 runs"):
        read_run(study.published, "duckdb")
