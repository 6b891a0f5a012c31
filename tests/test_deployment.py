"""What is deployed: when it is trained, what is verified before unpickling, and what a damaged file says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
import training_data as data
from test_training import quick_settings
from typer.testing import CliRunner

from models_ml.deployment import deployed
from models_ml.deployment.challenge import Selection
from models_ml.deployment.deployed import DEPLOYED, load_deployed, read_record
from models_ml.deployment.logs import CANDIDATE_LOG, CANDIDATES_SCHEMA, candidates_table
from models_ml.deployment.record import misfits
from models_ml.deployment.tracking import Tracker
from models_ml.errors import BayesPilotError
from models_ml.train import app
from models_ml.train_and_deploy import (
    DEPLOYED_SCHEMA,
    Deployment,
    deployed_table,
    deployment_row,
    ensure_deployed,
)
from models_ml.training.context import Purpose, read_purpose, warehouse_tables
from models_ml.training.settings import TrainingSettings

TABLES = warehouse_tables()


@pytest.fixture(scope="module")
def settings() -> TrainingSettings:
    return quick_settings()


@pytest.fixture(scope="module")
def examples() -> pa.Table:
    return data.examples_table(400)


def ensure(folder: Path, settings: TrainingSettings, **tables: pa.Table) -> Deployment:
    connection = data.warehouse(customers=400, **tables)
    return ensure_deployed(connection, TABLES, folder, settings, notify=lambda message: None)


@pytest.fixture(scope="module")
def trained_folder(tmp_path_factory: pytest.TempPathFactory, settings: TrainingSettings) -> Path:
    folder = tmp_path_factory.mktemp("project") / "models_ml" / "artifacts" / "demo"
    ensure(folder, settings)
    return folder


@pytest.fixture
def folder(trained_folder: Path, tmp_path: Path) -> Path:
    """Copy the files that a training leaves, without MLflow's."""
    copy = tmp_path / "artifacts"
    copy.mkdir()
    for name in (f"{DEPLOYED}.pkl", f"{DEPLOYED}.json", CANDIDATE_LOG):
        (copy / name).write_bytes((trained_folder / name).read_bytes())
    return copy


@pytest.fixture
def purpose() -> Purpose:
    return read_purpose(data.warehouse(customers=1), TABLES)


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing may be trained here")

    monkeypatch.setattr("models_ml.train_and_deploy.train", refuse)


class Trained(Exception):  # noqa: N818 - a signal, not an error
    """Raised in place of a training."""


@pytest.fixture
def training_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def see(*_: object, **__: object) -> None:
        raise Trained

    monkeypatch.setattr("models_ml.train_and_deploy.train", see)


def edit_record(folder: Path, **changes: object) -> None:
    path = folder / f"{DEPLOYED}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


class TestWhenItTrains:
    @pytest.mark.usefixtures("no_training")
    def test_not_where_it_fits(self, folder: Path, settings: TrainingSettings) -> None:
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert ensure(folder, settings).trained_because == ()
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    @pytest.mark.usefixtures("training_is_seen")
    @pytest.mark.parametrize(
        "tables",
        [
            {"int_policy_parameters": data.policy_table(churn_definition="inactivity")},
            {"int_policy_parameters": data.policy_table(horizon_days=27)},
            {"int_run": data.run_table(activity_map_hash="other")},
            {"int_run": data.run_table(retrain=True)},
            {"int_feature_schema": data.schema_table().slice(1)},
        ],
        ids=["churn definition", "horizon", "activity map", "asked for", "features"],
    )
    def test_where_it_does_not_fit_or_is_asked_for(
        self, folder: Path, settings: TrainingSettings, tables: dict[str, pa.Table]
    ) -> None:
        with pytest.raises(Trained):
            ensure(folder, settings, **tables)

    @pytest.mark.usefixtures("no_training")
    def test_money_and_limits_do_not_retrain(self, folder: Path, settings: TrainingSettings) -> None:
        changed = data.policy_table(monthly_budget=1.0, margin_rate=0.1)
        assert ensure(folder, settings, int_policy_parameters=changed).trained_because == ()

    def test_the_same_data_gives_the_same_version_and_the_log_grows(
        self, trained_folder: Path, settings: TrainingSettings, tmp_path: Path
    ) -> None:
        first, second = read_record(trained_folder), ensure(tmp_path, settings).record
        assert first is not None
        assert second.pipeline_version == first.pipeline_version
        assert (tmp_path / f"{DEPLOYED}.pkl").read_bytes() == (
            trained_folder / f"{DEPLOYED}.pkl"
        ).read_bytes()
        assert candidates_table(tmp_path).equals(candidates_table(trained_folder))
        ensure(tmp_path, settings, int_run=data.run_table(retrain=True))
        assert candidates_table(tmp_path)["training_run"].to_pylist() == [1, 1, 1, 2, 2, 2]

    def test_other_settings_give_another_version(
        self, trained_folder: Path, settings: TrainingSettings, tmp_path: Path
    ) -> None:
        record = read_record(trained_folder)
        assert record is not None
        candidates = {n: dict(p) for n, p in settings.candidates.items()}
        candidates["gradient_boosting"]["l2"] = 2.0
        changed = ensure(tmp_path, replace(settings, candidates=candidates)).record
        assert changed.pipeline_version != record.pipeline_version

    def test_other_code_on_the_same_data_gives_another_version(
        self,
        trained_folder: Path,
        settings: TrainingSettings,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        record = read_record(trained_folder)
        assert record is not None
        monkeypatch.setattr("models_ml.training.calibration.SIGMOID_INVERSE_REGULARISATION", 0.01)
        changed = ensure(tmp_path, settings).record
        assert changed.data_fingerprint == record.data_fingerprint
        assert changed.pipeline_version != record.pipeline_version

    def test_a_failed_training_leaves_what_is_deployed(
        self, folder: Path, settings: TrainingSettings, examples: pa.Table
    ) -> None:
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        with pytest.raises(BayesPilotError, match="too few matured training dates"):
            ensure(
                folder, settings, int_run=data.run_table(retrain=True), training_examples=examples.slice(0, 0)
            )
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def break_pickle(folder: Path) -> None:
    path = folder / f"{DEPLOYED}.pkl"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "checksum": (break_pickle, "checksum"),
    "no pipeline": (lambda folder: (folder / f"{DEPLOYED}.pkl").unlink(), "without its pipeline"),
    "libraries": (
        lambda folder: edit_record(folder, libraries=deployed.library_versions() | {"scikit-learn": "0.1"}),
        "scikit-learn 0.1 then",
    ),
    "source": (lambda folder: edit_record(folder, source="other"), "other, not demo"),
    "format": (lambda folder: edit_record(folder, format=0), "format"),
    "entries": (lambda folder: edit_record(folder, colour="red"), "colour"),
    "not json": (lambda folder: (folder / f"{DEPLOYED}.json").write_text("{"), "not JSON"),
}


class TestVerification:
    @pytest.mark.usefixtures("no_training")
    @pytest.mark.parametrize("damage", DAMAGES)
    def test_damage_is_an_error_before_unpickling_and_never_silently_replaced(
        self,
        damage: str,
        folder: Path,
        purpose: Purpose,
        settings: TrainingSettings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        breaks, says = DAMAGES[damage]
        breaks(folder)

        def unpickled(*_: object) -> None:
            raise AssertionError("unpickled before it was verified")

        monkeypatch.setattr(deployed.joblib, "load", unpickled)
        for attempt in (lambda: load_deployed(folder, purpose), lambda: ensure(folder, settings)):
            with pytest.raises(BayesPilotError, match=says) as refused:
                attempt()
            assert f"bayespilot run --source {purpose.source} --vars '{{retrain: true}}'" in str(
                refused.value
            )

    @pytest.mark.usefixtures("training_is_seen")
    @pytest.mark.parametrize("damage", DAMAGES)
    def test_asking_to_retrain_trains_in_spite_of_any_damage(
        self, damage: str, folder: Path, settings: TrainingSettings
    ) -> None:
        DAMAGES[damage][0](folder)
        with pytest.raises(Trained):
            ensure(folder, settings, int_run=data.run_table(retrain=True))

    def test_scoring_says_what_does_not_fit(self, folder: Path, purpose: Purpose, tmp_path: Path) -> None:
        changed = replace(
            purpose, horizon_days=90, schema=replace(purpose.schema, features=purpose.schema.features[1:])
        )
        with pytest.raises(BayesPilotError, match="does not fit") as refused:
            load_deployed(folder, changed)
        assert "horizon_days: made for 28, now 90" in str(refused.value)
        assert "days_since_last_activity (gone)" in str(refused.value)
        with pytest.raises(BayesPilotError, match="nothing is deployed"):
            load_deployed(tmp_path / "empty", purpose)

    def test_what_fits_is_loaded(self, folder: Path, purpose: Purpose) -> None:
        pipeline, record = load_deployed(folder, purpose)
        assert misfits(record, purpose) == []
        assert pipeline.candidate == record.candidate


class TestTables:
    def test_the_record_is_one_typed_row(self, folder: Path) -> None:
        record = read_record(folder)
        assert record is not None
        table = deployment_row(
            Deployment(
                record,
                ("horizon_days: made for 28, now 90",),
                Selection(record.pipeline_version, "forced", "does not fit", None, None, ()),
            )
        )
        assert table.schema.equals(DEPLOYED_SCHEMA)
        row = table.to_pylist()[0]
        assert row["judged_on"] == row["calibrated_on"] == data.MONTH_ENDS[-1]
        assert row["was_trained_now"]
        # Its features do not say who has given notice, and its calibration holds.
        assert [name for name, value in row.items() if value is None] == [
            "judged_announced_churn_share",
            "judged_auc_without_notice",
            "calibration_warning",
        ]

    def test_the_log_is_typed_before_and_after_the_first_training(self, folder: Path, tmp_path: Path) -> None:
        assert candidates_table(tmp_path).schema.equals(CANDIDATES_SCHEMA)
        log = candidates_table(folder)
        assert log.schema.equals(CANDIDATES_SCHEMA)
        rows = log.to_pylist()
        assert [row["candidate"] for row in rows] == [
            "gradient_boosting",
            "logistic_regression",
            "random_forest",
        ]
        assert sum(row["is_selected"] for row in rows) == 1
        assert min(row["profit_shortfall"] for row in rows) == 0

    def test_an_empty_build_touches_no_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        empty = {name: table.slice(0, 0) for name, table in (("int_run", data.run_table()),)}
        connection = data.warehouse(customers=1, **empty)
        assert deployed_table(connection, TABLES).equals(DEPLOYED_SCHEMA.empty_table())
        assert list(tmp_path.iterdir()) == []


class TestTracking:
    def test_the_champion_is_what_is_deployed(self, trained_folder: Path) -> None:
        from mlflow import MlflowClient

        record = read_record(trained_folder)
        assert record is not None
        client = MlflowClient(
            f"sqlite:///{trained_folder}/mlflow.db", f"sqlite:///{trained_folder}/mlflow.db"
        )
        champion = client.get_model_version_by_alias("bayespilot-demo", "champion")
        assert champion.run_id == record.mlflow_run_id
        assert champion.tags["pipeline_version"] == record.pipeline_version
        names = [item.path for item in client.list_artifacts(record.mlflow_run_id, DEPLOYED)]
        assert names == [f"{DEPLOYED}/MLmodel", f"{DEPLOYED}/{DEPLOYED}.json", f"{DEPLOYED}/{DEPLOYED}.pkl"]
        run = client.get_run(record.mlflow_run_id)
        assert run.data.tags["data_fingerprint"] == record.data_fingerprint
        assert run.data.tags["code_version"]
        assert run.info.status == "FINISHED"
        assert [given.dataset.digest for given in run.inputs.dataset_inputs] != []
        children = client.search_runs(
            [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{record.mlflow_run_id}'"
        )
        assert {child.info.run_name for child in children} == set(quick_settings().candidates)
        selected = next(child for child in children if child.info.run_name == record.candidate)
        assert selected.data.metrics["judged_profit"] == pytest.approx(
            record.judged["metrics"]["profit"], abs=0.01
        )
        assert run.data.params["fit_to"] == record.refitted["fit_to"]
        assert run.data.params["calibration_method"] == record.calibration_method
        assert run.data.metrics["judged_auc"] == pytest.approx(record.judged["metrics"]["auc"])

    @pytest.mark.parametrize("is_empty", [False, True])
    def test_another_registry_learns_the_champion_and_can_load_it(
        self, trained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_empty: bool
    ) -> None:
        """A server named by the environment, or the local file gone: the kept version is registered there."""
        import mlflow
        from mlflow import MlflowClient

        folder = tmp_path / "artifacts"
        shutil.copytree(trained_folder, folder, ignore=shutil.ignore_patterns("mlflow.db", "mlruns"))
        server = f"sqlite:///{folder if is_empty else tmp_path}/mlflow.db"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "" if is_empty else server)
        record = read_record(folder)
        assert record is not None
        Tracker(folder, "demo").point_champion_at(record)
        client = MlflowClient(server, server)
        place = client.get_model_version_by_alias("bayespilot-demo", "champion").source
        loaded = mlflow.pyfunc.load_model(str(place))
        assert loaded.metadata.signature.outputs.input_names() == ["churn_probability"]

    def test_a_copied_folder_never_writes_where_it_came_from(
        self, trained_folder: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "artifacts"
        shutil.copytree(trained_folder, folder)
        record = read_record(folder)
        assert record is not None
        tracker = Tracker(folder, "demo")
        tracker.point_champion_at(record)
        with tracker._client() as client:
            first, again = tracker._experiment(client), tracker._experiment(client)
            assert first == again
            assert client.get_experiment(first).artifact_location == (folder / "mlruns").as_uri()
            champion = client.get_model_version_by_alias("bayespilot-demo", "champion")
        assert str(champion.source).startswith(folder.as_uri())

    def test_mlflow_scores_as_dbt_does(self, trained_folder: Path, purpose: Purpose) -> None:
        import mlflow

        pipeline, record = load_deployed(trained_folder, purpose)
        (place,) = (trained_folder / "mlruns").glob(f"*{record.mlflow_run_id}*/artifacts/{DEPLOYED}")
        loaded = mlflow.pyfunc.load_model(str(place))
        features = pa.table(data.feature_rows(50, data.RUN_DATE)).select(list(purpose.schema.names))
        expected = pipeline.score(features)[0]
        frame = features.to_pandas().astype({"days_since_last_activity": float, "orders_last_90_days": float})
        assert loaded.predict(frame) == pytest.approx(expected, abs=1e-9)
        inputs = loaded.metadata.signature.inputs.input_names()
        assert inputs == list(purpose.schema.names)


class TestCommandLine:
    @pytest.fixture
    def project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: TrainingSettings) -> Path:
        (tmp_path / "dbt_project.yml").touch()
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("DBT_PROFILES_DIR", raising=False)
        monkeypatch.delenv("RETENTION_DB", raising=False)
        monkeypatch.setattr("models_ml.train.load_settings", lambda: settings)
        (tmp_path / "warehouse").mkdir()
        return tmp_path

    def test_baseline_is_the_simplest_alone_and_deploys_nothing(self, project: Path) -> None:
        data.warehouse(str(project / "warehouse" / "demo.duckdb"), customers=400).close()
        outcome = CliRunner().invoke(app, ["--baseline"])
        assert outcome.exit_code == 0, outcome.output
        assert "logistic_regression-" in outcome.output
        written = {path.name for path in (project / "models_ml" / "artifacts" / "demo").iterdir()}
        assert written == {"churn_pipeline.pkl", "churn_pipeline.json"}

    def test_without_a_warehouse_it_names_the_next_command(self, project: Path) -> None:
        outcome = CliRunner().invoke(app, ["--source", "online_retail"])
        assert outcome.exit_code == 1
        assert "next: bayespilot run --source online_retail" in outcome.output

    def test_a_half_built_warehouse_names_the_missing_table(self, project: Path) -> None:
        duckdb.connect(str(project / "warehouse" / "demo.duckdb")).close()
        outcome = CliRunner().invoke(app, [])
        assert outcome.exit_code == 1
        assert "int_run" in outcome.output

    def test_wrong_usage_is_exit_code_two(self) -> None:
        assert CliRunner().invoke(app, ["--what"]).exit_code == 2
