"""Deployment by hand and over time: versions kept, promoted, rolled back to, and written down."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import training_data as data
from conftest import Project
from mlflow import MlflowClient
from test_champion import ONLY, wide
from test_training import quick_settings
from typer.testing import CliRunner

from models_ml.cli import app as commands
from models_ml.deployment.deployed import DEPLOYED, load_deployed, read_record
from models_ml.deployment.logs import (
    DEPLOYMENT_LOG,
    DEPLOYMENTS_SCHEMA,
    candidates_table,
    deployments_table,
    read_events,
)
from models_ml.deployment.record import DeploymentRecord
from models_ml.deployment.versions import kept_versions, promote, roll_back
from models_ml.errors import BayesPilotError
from models_ml.train import app
from models_ml.train_and_deploy import Deployment, ensure_deployed
from models_ml.training.candidates import CANDIDATES
from models_ml.training.context import Purpose, read_purpose, warehouse_tables

TABLES = warehouse_tables()
EXAMPLES = data.examples_table(600)
OLDER = EXAMPLES.filter(pc.less(EXAMPLES["as_of_date"], data.MONTH_ENDS[-1]))


def ensure(folder: Path, *, reports: Path | None = None, **tables: pa.Table) -> Deployment:
    connection = data.warehouse(customers=10, **tables)
    settings = wide(quick_settings())
    return ensure_deployed(connection, TABLES, folder, settings, notify=lambda message: None, reports=reports)


@pytest.fixture(scope="module")
def project_of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that trained on five month ends, a month later on six, and then on the same six again."""
    project = tmp_path_factory.mktemp("two") / "project"
    folder = project / "models_ml" / "artifacts" / "demo"
    asked = data.run_table(retrain=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models_ml.train_and_deploy.CANDIDATES", {ONLY: CANDIDATES[ONLY]})
        ensure(folder, training_examples=OLDER)
        ensure(folder, training_examples=EXAMPLES, int_run=asked, reports=project / "reports")
        ensure(folder, training_examples=EXAMPLES, int_run=asked)
    (project / "dbt_project.yml").touch()
    (project / "warehouse").mkdir()
    data.warehouse(str(project / "warehouse" / "demo.duckdb"), customers=10).close()
    return project


@pytest.fixture
def project(project_of_two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of it, as the working directory."""
    copy = tmp_path / "project"
    shutil.copytree(project_of_two, copy)
    monkeypatch.chdir(copy)
    for name in ("DBT_PROFILES_DIR", "RETENTION_DB", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return copy


@pytest.fixture
def folder(project: Path) -> Path:
    return project / "models_ml" / "artifacts" / "demo"


@pytest.fixture(scope="module")
def purpose() -> Purpose:
    return read_purpose(data.warehouse(customers=1), TABLES)


def versions(folder: Path) -> tuple[str, str]:
    """Return the older and the newer version."""
    first, second, _ = read_events(folder)[:3]
    return first.pipeline_version, second.pipeline_version


def deployed(folder: Path) -> DeploymentRecord:
    record = read_record(folder)
    assert record is not None
    return record


def mlflow_client(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder}/mlflow.db", f"sqlite:///{folder}/mlflow.db")


def champion_alias(folder: Path) -> str:
    champion = mlflow_client(folder).get_model_version_by_alias("bayespilot-demo", "champion")
    return str(champion.tags["pipeline_version"])


def edit_version(folder: Path, version: str, **changes: Any) -> None:
    path = folder / "versions" / version / f"{DEPLOYED}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.suffix != ".db"
    }


class TestTrainings:
    def test_newer_data_refreshes_the_champion_and_the_same_data_leave_it(self, folder: Path) -> None:
        events = read_events(folder)
        assert [event.event for event in events] == ["deployed", "promoted", "kept"]
        assert [event.training_run for event in events] == [1, 2, 3]
        first, second, third = events
        assert second.previous_version == first.pipeline_version == first.deployed_version
        assert third.pipeline_version == third.deployed_version == second.pipeline_version
        assert "trained again" in second.reason
        assert champion_alias(folder) == deployed(folder).pipeline_version == second.pipeline_version
        champion = mlflow_client(folder).get_model_version_by_alias("bayespilot-demo", "champion")
        assert champion.run_id == deployed(folder).mlflow_run_id  # not the run that made it once more

    def test_every_winner_is_kept_and_registered(self, folder: Path) -> None:
        kept = kept_versions(folder, "demo")
        assert [one.version for one in kept if one.is_champion] == [versions(folder)[1]]
        assert {one.version for one in kept} == set(versions(folder))
        registered = mlflow_client(folder).search_model_versions("name = 'bayespilot-demo'")
        assert sorted(one.tags["pipeline_version"] for one in registered) == sorted(
            event.pipeline_version for event in read_events(folder)
        )

    def test_the_candidates_as_judged_stand_beside(self, folder: Path) -> None:
        record = read_record(folder / "candidates", ONLY)
        assert record is not None
        assert (folder / "candidates" / f"{ONLY}.pkl").is_file()
        assert record.judged == record.refitted

    def test_the_report_stands_in_the_run(self, project: Path, folder: Path) -> None:
        assert (project / "reports" / "training.html").is_file()
        (page,) = (folder / "mlruns").rglob("training.html")
        assert (page.parent / "roc.svg").is_file()
        assert (page.parent / "selected_model.json").is_file()

    def test_the_candidate_log_says_what_became_of_them(self, folder: Path) -> None:
        rows = candidates_table(folder).to_pylist()
        assert [row["outcome"] for row in rows] == ["first", "promoted", "kept"]
        assert [row["champion_version"] for row in rows] == [None, *versions(folder)]
        assert json.loads(rows[0]["hyper_parameters"]) == deployed(folder).recipe
        assert [row["probability_better"] is None for row in rows] == [True, False, True]

    def test_the_table_is_the_log(self, folder: Path, tmp_path: Path) -> None:
        assert deployments_table(tmp_path / "none").equals(DEPLOYMENTS_SCHEMA.empty_table())
        rows = deployments_table(folder).to_pylist()
        assert [row["event_number"] for row in rows] == [1, 2, 3]
        assert "calibration_ratio" in {rail["name"] for rail in json.loads(rows[1]["guardrails"])}
        assert rows[1]["failed_guardrails"] is None

    def test_what_is_kept_out_changes_nothing_deployed(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        older, newer = versions(folder)
        purpose_now = read_purpose(data.warehouse(customers=1), TABLES)
        promote(folder, older, purpose_now)
        before = (folder / f"{DEPLOYED}.pkl").read_bytes(), (folder / f"{DEPLOYED}.json").read_bytes()
        impossible = replace(wide(quick_settings()).promotion, contacts_ratio_from=1e6, contacts_ratio_to=1e9)
        settings = replace(wide(quick_settings()), promotion=impossible)
        monkeypatch.setattr("models_ml.train_and_deploy.CANDIDATES", {ONLY: CANDIDATES[ONLY]})
        connection = data.warehouse(
            customers=10, training_examples=EXAMPLES, int_run=data.run_table(retrain=True)
        )
        kept = ensure_deployed(connection, TABLES, folder, settings, notify=lambda message: None)
        assert kept.selection is not None
        assert (kept.selection.outcome, kept.selection.version) == ("kept", newer)
        assert kept.record.pipeline_version == older == champion_alias(folder)
        assert before == (
            (folder / f"{DEPLOYED}.pkl").read_bytes(),
            (folder / f"{DEPLOYED}.json").read_bytes(),
        )
        assert deployments_table(folder)["failed_guardrails"].to_pylist()[-1] == "contacts_ratio"


class TestByHand:
    def test_there_and_back(self, folder: Path, purpose: Purpose, monkeypatch: pytest.MonkeyPatch) -> None:
        older, newer = versions(folder)
        assert roll_back(folder, purpose).pipeline_version == older == champion_alias(folder)
        assert load_deployed(folder, purpose)[1].pipeline_version == older
        with pytest.raises(BayesPilotError, match="no earlier deployment"):
            roll_back(folder, purpose)
        assert promote(folder, newer, purpose)[1]
        assert deployed(folder).pipeline_version == newer == champion_alias(folder)
        assert not promote(folder, newer, purpose)[1]
        events = [event.event for event in read_events(folder)]
        assert events == ["deployed", "promoted", "kept", "rolled_back", "promoted"]

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("nothing may be trained here")

        monkeypatch.setattr("models_ml.train_and_deploy.train", refuse)
        assert ensure(folder, training_examples=EXAMPLES).record.pipeline_version == newer

    def test_promoting_the_deployed_version_repairs_a_damaged_file(
        self, folder: Path, purpose: Purpose
    ) -> None:
        _, newer = versions(folder)
        (folder / f"{DEPLOYED}.pkl").write_bytes(b"damaged")
        assert promote(folder, newer, purpose)[1]
        assert load_deployed(folder, purpose)[1].pipeline_version == newer

    def test_a_version_that_the_registry_lost_is_registered_again(
        self, folder: Path, purpose: Purpose
    ) -> None:
        older, _ = versions(folder)
        client = mlflow_client(folder)
        for one in client.search_model_versions("name = 'bayespilot-demo'"):
            if one.tags["pipeline_version"] == older:
                client.delete_model_version("bayespilot-demo", one.version)
        promote(folder, older, purpose)
        assert champion_alias(folder) == older

    @pytest.mark.parametrize(
        ("damage", "says"),
        [
            (lambda folder, version: shutil.rmtree(folder / "versions" / version), "there is no version"),
            (
                lambda folder, version: (folder / "versions" / version / f"{DEPLOYED}.pkl").write_bytes(b"x"),
                "checksum",
            ),
            (
                lambda folder, version: edit_version(folder, version, libraries={"numpy": "1"}),
                "numpy 1 then",
            ),
            (lambda folder, version: edit_version(folder, version, source="shop"), "shop, not demo"),
            (
                lambda folder, version: edit_version(folder, version, horizon_days=90),
                "horizon_days: made for 90, now 28",
            ),
            (
                lambda folder, version: edit_version(folder, version, features=deployed(folder).features[1:]),
                "feature days_since_last_activity",
            ),
            (
                lambda folder, version: edit_version(folder, version, pipeline_version="other-1"),
                "another version",
            ),
            (
                lambda folder, version: (folder / DEPLOYMENT_LOG).write_text("{}\n"),
                "log of deployments lacks entries",
            ),
        ],
        ids=["unknown", "checksum", "libraries", "source", "horizon", "features", "misplaced", "log"],
    )
    def test_what_cannot_be_deployed_is_refused_and_changes_nothing(
        self, damage: Callable[[Path, str], object], says: str, folder: Path, purpose: Purpose
    ) -> None:
        older, _ = versions(folder)
        damage(folder, older)
        before = snapshot(folder)
        for attempt in (lambda: promote(folder, older, purpose), lambda: roll_back(folder, purpose)):
            with pytest.raises(BayesPilotError, match=says):
                attempt()
        assert snapshot(folder) == before

    def test_a_name_that_leaves_the_folder_is_no_version(self, folder: Path, purpose: Purpose) -> None:
        with pytest.raises(BayesPilotError, match="there is no version"):
            promote(folder, "../candidates", purpose)


class TestCommandLine:
    """Each thing twice: as a command of bayespilot, and as an option of python -m models_ml.train."""

    def run(self, *arguments: str) -> tuple[int, str]:
        outcome = CliRunner().invoke(app, list(arguments))
        return outcome.exit_code, outcome.output

    def command(self, *arguments: str) -> tuple[int, str]:
        outcome = CliRunner().invoke(commands, list(arguments))
        return outcome.exit_code, outcome.output

    def test_promote_rollback_and_list(self, folder: Path) -> None:
        older, newer = versions(folder)
        code, output = self.run("--rollback")
        assert (code, output) == (0, f"{older} is deployed again\n")
        assert self.run("--promote", newer) == (0, f"{newer} is deployed\n")
        assert self.run("--promote", newer) == (0, f"{newer} was deployed already\n")
        assert self.command("rollback") == (0, f"{older} is deployed again\n")
        assert self.command("promote", newer, "--source", "demo") == (0, f"{newer} is deployed\n")
        edit_version(folder, older, format=0)
        code, output = self.run("--list")
        assert (code, output) == self.command("versions")
        assert code == 0
        lines = {
            version: line for line in output.splitlines() for version in (older, newer) if version in line
        }
        assert "champion" in lines[newer]
        assert "cannot be compared" not in output  # the other is damaged
        assert f"{deployed(folder).judged['metrics']['auc']:.3f}" in lines[newer]
        assert "not of format" in lines[older]  # the last line that names it
        assert "bayespilot promote VERSION --source demo" in self.command("promote", older)[1]

    def test_nothing_to_list(self, project: Path) -> None:
        (project / "dbt_project" / "sources" / "shop").mkdir(parents=True)
        code, output = self.run("--source", "shop", "--list")
        assert (code, output) == self.command("versions", "--source", "shop")
        assert code == 0
        assert "no version of shop" in output
        code, output = self.command("versions", "--source", "shoe")
        assert code == 1
        assert "there is no source shoe; there is shop" in output

    def test_what_is_wrong_with_the_deployed_files_is_listed(self, folder: Path) -> None:
        _, newer = versions(folder)
        shutil.move(folder / "versions" / newer, folder / newer)
        assert self.command("versions")[1].endswith(f"deployed, and not kept: {newer}\n")
        shutil.move(folder / newer, folder / "versions" / newer)
        (folder / f"{DEPLOYED}.pkl").write_bytes(b"damaged")
        code, output = self.command("versions")
        assert code == 0
        assert output.endswith(f"deployed, and cannot be used: pipeline {newer} fails its checksum\n")

    def test_versions_of_other_label_rules_are_named_and_refused(self, project: Path, folder: Path) -> None:
        older, newer = versions(folder)
        edit_version(folder, older, resume_grace_days=None)  # as records were before it was recorded
        warehouse = project / "warehouse" / "demo.duckdb"
        with duckdb.connect(str(warehouse)) as connection:
            connection.execute("update int_policy_parameters set resume_grace_days = 7")
        code, output = self.command("versions")
        assert code == 0
        assert "Judged profits of two trainings cannot be compared" in output
        assert output.splitlines()[-1] == (
            f"{newer} does not fit this source as it is now: resume_grace_days: made for 0, now 7"
        )
        code, output = self.command("promote", newer)
        assert code == 1
        assert "first values: resume_grace_days: made for 0, now 7" in output
        assert self.command("rollback") == (0, f"{older} is deployed again\n")
        warehouse.unlink()
        assert "which of them fit demo as it is now is not known: there is no" in self.command("versions")[1]

    def test_what_cannot_be_done_is_exit_code_one(self, folder: Path) -> None:
        code, output = self.run("--promote", "no-such")
        assert (code, output) == self.command("promote", "no-such")
        assert code == 1
        assert versions(folder)[0] in output
        assert self.run("--rollback")[0] == 0
        code, output = self.run("--rollback")
        assert code == 1
        assert "no earlier deployment" in output

    @pytest.mark.parametrize(
        "options",
        [
            ("--rollback", "--list"),
            ("--promote", "x", "--rollback"),
            ("--baseline", "--promote", "x"),
            ("--promote",),
        ],
    )
    def test_two_things_at_once_are_wrong_usage(self, options: tuple[str, ...]) -> None:
        code, output = self.run(*options)
        assert code == 2
        said = " ".join(output.replace("│", " ").split())
        assert "give one of them" in said or "requires an argument" in said


@pytest.mark.build
def test_a_build_after_a_promotion_scores_with_what_was_promoted(fresh_copy: Project) -> None:
    """What is promoted stands in the next build's scores, without training again."""
    (first,) = fresh_copy.query("select pipeline_version from deployed_pipeline")[0]
    folder = fresh_copy.folder / "models_ml" / "artifacts" / "demo"
    copied = folder / "versions" / "hand-made"
    shutil.copytree(folder / "versions" / first, copied)
    edit_version(folder, "hand-made", pipeline_version="hand-made")
    promoted = fresh_copy.run("python", "-m", "models_ml.train", "--promote", "hand-made")
    assert promoted.returncode == 0, promoted.stderr
    fresh_copy.dbt("build", "-s", "int_run", "path:dbt_project/models/training", "int_churn_predictions")
    assert fresh_copy.query("select distinct pipeline_version from int_churn_predictions") == [("hand-made",)]
    assert fresh_copy.query("select pipeline_version, was_trained_now from deployed_pipeline") == [
        ("hand-made", False)
    ]
    events = fresh_copy.query(
        "select event, deployed_version from pipeline_deployments order by event_number"
    )
    assert events == [("deployed", first), ("promoted", "hand-made")]
