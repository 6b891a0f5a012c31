"""Scoring and reasons: the same numbers batch by batch, reasons that add up, thin binders that stream."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import training_data as data
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from test_training import quick_settings, run_features, train_on

from models_ml.deployment.deployed import load_deployed
from models_ml.errors import BayesPilotError
from models_ml.scoring.probabilities import PROBABILITIES_SCHEMA, score_batches
from models_ml.train_and_deploy import ensure_deployed
from models_ml.training import contributions
from models_ml.training.candidates import CANDIDATES, logistic_regression
from models_ml.training.context import read_purpose, warehouse_tables
from models_ml.training.contributions import (
    BoostingExplainer,
    make_explainer,
    make_tree_explainer,
    pattern_contributions,
)
from models_ml.training.linear import as_linear_sum
from models_ml.training.pipeline import ChurnPipeline
from models_ml.training.schema import Feature, FeatureEncoder, FeatureSchema

MODELS = Path(__file__).parents[1] / "dbt_project" / "models"


@pytest.fixture(scope="module")
def pipelines() -> dict[str, ChurnPipeline]:
    return dict(train_on(data.examples_table(400)).judged.pipelines)


class TestContributions:
    @pytest.mark.parametrize("name", ["logistic_regression", "random_forest", "gradient_boosting"])
    def test_they_add_up_to_the_raw_score(self, name: str, pipelines: dict[str, ChurnPipeline]) -> None:
        pipeline, features = pipelines[name], run_features(100)
        explainer = make_explainer(pipeline)
        parts = explainer.contributions(pipeline.encoder.encode(features))
        assert parts.shape == (100, len(data.FEATURES))
        assert parts.sum(axis=1) + explainer.base == pytest.approx(pipeline.score(features)[1], abs=1e-9)

    @pytest.mark.parametrize("name", ["logistic_regression", "random_forest", "gradient_boosting"])
    def test_silence_is_a_reason_only_where_it_is_long(
        self, name: str, pipelines: dict[str, ChurnPipeline]
    ) -> None:
        pipeline, features = pipelines[name], run_features(200)
        column = features.schema.get_field_index("days_since_last_activity")
        parts = {}
        for days in (1, 115):
            at = features.set_column(column, "days_since_last_activity", pa.array([days] * 200, pa.int32()))
            parts[days] = make_explainer(pipeline).contributions(pipeline.encoder.encode(at))[:, 0]
        assert (parts[1] < 0).all()
        assert (parts[115] > 0).all()

    def test_linear_contributions_average_to_nothing_on_the_fit_rows(self) -> None:
        result = train_on(data.examples_table(400), ("logistic_regression",))
        pipeline = result.judged.pipelines["logistic_regression"]
        examples = data.examples_table(400)
        fitted = ~examples["was_contacted"].to_numpy() & (
            np.array(examples["as_of_date"].to_pylist()) <= result.judged.split.fit_on[-1]
        )
        matrix = pipeline.encoder.encode(examples.filter(pa.array(fitted)))
        assert np.abs(make_explainer(pipeline).contributions(matrix).mean(axis=0)).max() < 1e-9


class TestLinear:
    """A logistic pipeline as a sum over features gives the numbers of scikit-learn's steps."""

    @pytest.mark.parametrize("filled", ["all", "numbers", "categories"])
    def test_it_is_what_the_steps_compute(self, filled: str) -> None:
        draws = np.random.default_rng(2)
        kinds = {"all": "nncnc", "numbers": "nnnnn", "categories": "ccccc"}[filled]
        roles = {"n": "numeric", "c": "categorical"}
        schema = FeatureSchema(tuple(Feature(f"f{at}", roles[kind], "", 0) for at, kind in enumerate(kinds)))
        known = {f"f{at}": ("a", "b", "c") for at, kind in enumerate(kinds) if kind == "c"}
        matrix = np.where(
            np.array(list(kinds)) == "c", draws.integers(0, 3, (600, 5)), draws.normal(0, 9, (600, 5))
        )
        matrix[:, 0] = 0.0 if kinds[0] == "n" else matrix[:, 0]  # never filled
        fitted, later = matrix[:400], matrix[400:]
        fitted[draws.random(400) < 0.3, 1] = np.nan
        later[draws.random(later.shape) < 0.3] = np.nan  # of features too that were never missing
        encoder = FeatureEncoder(schema, known, frozenset())
        estimator = logistic_regression(encoder, quick_settings().candidates["logistic_regression"], 1)
        estimator.fit(fitted, np.nan_to_num(fitted[:, 1]) + draws.normal(size=400) > 1)
        found = as_linear_sum(estimator)
        assert found is not None
        assert found.raw_score(later) == pytest.approx(estimator.decision_function(later), abs=1e-12)
        terms = found.contributions(later)
        assert found.base + terms.sum(axis=1) == pytest.approx(found.raw_score(later), abs=1e-12)
        assert found.contributions(fitted).mean(axis=0) == pytest.approx(np.zeros(5), abs=1e-12)
        alone = np.array([found.contributions(row[None, :])[0] for row in later])
        assert np.array_equal(alone, terms)


class TestBoosting:
    """Contributions looked up by pattern are those that the shap library finds by walking the trees."""

    def test_two_features_of_a_path_by_hand(self) -> None:
        # Shares 1/2 and 1/4, leaf 8: v() = 1, v(a) = 8/4 = 2, and 0 with b, which does not take the path.
        found = pattern_contributions(np.array([0.5, 0.25]), 8.0, np.array([0b01, 0b11]))
        assert found[:, 0] == pytest.approx([((2 - 1) + (0 - 0)) / 2, ((0 - 1) + (0 - 2)) / 2])
        # Both take it: v(b) = 4, v(a, b) = 8.
        assert found[:, 1] == pytest.approx([((2 - 1) + (8 - 4)) / 2, ((4 - 1) + (8 - 2)) / 2])

    @given(
        arrays.arrays(float, st.integers(1, 7), elements=st.floats(0.01, 1)),
        st.integers(0, 127),
    )
    def test_a_leaf_splits_what_its_path_decides(self, reached: np.ndarray, pattern: int) -> None:
        pattern %= 2 ** len(reached)
        found = pattern_contributions(reached, 3.0, np.array([pattern]))
        takes_all = pattern == 2 ** len(reached) - 1
        assert found.sum() == pytest.approx(3.0 * takes_all - 3.0 * reached.prod(), abs=1e-9)

    @pytest.mark.parametrize("tabulated", [12, 2, 0])
    @pytest.mark.parametrize(("trees", "leaves"), [(1, 2), (12, 31)])
    def test_they_are_those_of_the_library(
        self, trees: int, leaves: int, tabulated: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(contributions, "FEATURES_TABULATED", tabulated)
        draws = np.random.default_rng(4)
        matrix = draws.gamma(1, 3, size=(3_000, 6)).round(1)
        matrix[draws.random(matrix.shape) < 0.2] = np.nan
        matrix[:, 5] = 7.0  # nothing splits on it
        known = np.nan_to_num(matrix)
        churned = known[:, 0] * known[:, 1] - known[:, 2] * np.isnan(matrix[:, 3]) + known[:, 4] > 9
        boosting = HistGradientBoostingClassifier(max_iter=trees, max_leaf_nodes=leaves, min_samples_leaf=5)
        boosting.fit(matrix, churned)
        pipeline = SimpleNamespace(estimator=Pipeline([("estimator", boosting)]))
        quick, library = make_explainer(pipeline), make_tree_explainer(pipeline)
        assert isinstance(quick, BoostingExplainer)
        found = quick.contributions(matrix)
        assert np.allclose(found, library.contributions(matrix), rtol=0, atol=1e-12)
        assert quick.base == pytest.approx(library.base, abs=1e-12)
        assert quick.base + found.sum(axis=1) == pytest.approx(boosting.decision_function(matrix), abs=1e-12)
        assert np.array_equal(found[:7], quick.contributions(matrix[:7]))
        assert not found[:, 5].any()

    def test_trees_without_a_split_explain_nothing(self) -> None:
        matrix = np.zeros((50, 2))
        boosting = HistGradientBoostingClassifier(max_iter=2).fit(matrix, np.arange(50) < 10)
        explainer = make_explainer(SimpleNamespace(estimator=Pipeline([("estimator", boosting)])))
        assert not explainer.contributions(matrix).any()
        assert explainer.base == pytest.approx(np.log(10 / 40))


class TestScores:
    @pytest.mark.parametrize("name", ["logistic_regression", "random_forest", "gradient_boosting"])
    def test_batches_do_not_matter(self, name: str, pipelines: dict[str, ChurnPipeline]) -> None:
        features = run_features(300)
        tables = [
            pa.Table.from_batches(
                score_batches(features.to_batches(max_chunksize=rows), pipelines[name], "v")
            )
            for rows in (300, 17)
        ]
        assert tables[0].schema.equals(PROBABILITIES_SCHEMA)
        assert tables[0].to_pylist() == tables[1].to_pylist()
        assert tables[0]["customer_id"].to_pylist() == features["customer_id"].to_pylist()
        probability = tables[0]["churn_probability"].to_numpy()
        assert ((probability > 0) & (probability < 1)).all()


class Relation:
    def __init__(self, query: str) -> None:
        self._query = query

    def sql_query(self) -> str:
        return self._query


class FakeDbt:
    """The part of dbt's object that the binders use."""

    def __init__(self, *, empty: bool) -> None:
        self._end = " limit 0" if empty else ""

    def ref(self, name: str) -> Relation:
        return Relation(f"select * from {name}{self._end}")

    def config(self, **_: object) -> None:
        """Accept any configuration."""


class TestBinders:
    @pytest.fixture
    def project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        (tmp_path / "dbt_project.yml").touch()
        monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
        monkeypatch.setattr("models_ml.train_and_deploy.load_settings", quick_settings)
        return tmp_path

    @pytest.fixture
    def connection(self) -> duckdb.DuckDBPyConnection:
        connection = data.warehouse(customers=400)
        # rows of other dates must be left alone
        connection.execute(
            """
            insert into customer_features
            select * replace (date '2025-06-30' as as_of_date) from customer_features
            """
        )
        return connection

    def run(self, path: str, connection: duckdb.DuckDBPyConnection, *, empty: bool = False) -> pa.Table:
        binder: Callable[[Any, Any], Any] = runpy.run_path(str(MODELS / path))["model"]
        result = binder(FakeDbt(empty=empty), connection)
        return result.read_all() if isinstance(result, pa.RecordBatchReader) else result

    def test_one_build(self, project: Path, connection: duckdb.DuckDBPyConnection) -> None:
        with pytest.raises(BayesPilotError, match="nothing is deployed"):
            self.run("scoring/int_churn_predictions.py", connection)
        record = self.run("training/int_deployed_pipeline.py", connection).to_pylist()[0]
        candidates = self.run("training/int_pipeline_candidates.py", connection)
        assert candidates.num_rows == len(CANDIDATES)
        scores = self.run("scoring/int_churn_predictions.py", connection)
        assert scores["customer_id"].to_pylist() == [f"c{i:06d}" for i in range(400)]
        assert set(scores["as_of_date"].to_pylist()) == {data.RUN_DATE}
        assert set(scores["pipeline_version"].to_pylist()) == {record["pipeline_version"]}
        reasons = self.run("scoring/int_churn_reasons.py", connection)
        explained = reasons["customer_id"].to_pylist()
        assert explained == sorted(explained)
        assert set(explained) <= set(scores["customer_id"].to_pylist())
        assert len(set(explained)) > 360
        assert not self.run("training/int_deployed_pipeline.py", connection)["was_trained_now"][0].as_py()

    @pytest.mark.parametrize(
        "path",
        [
            "training/int_deployed_pipeline.py",
            "training/int_pipeline_candidates.py",
            "scoring/int_churn_predictions.py",
            "scoring/int_churn_reasons.py",
        ],
    )
    def test_an_empty_build_is_typed_and_touches_no_file(
        self, path: str, project: Path, connection: duckdb.DuckDBPyConnection
    ) -> None:
        table = self.run(path, connection, empty=True)
        assert table.num_rows == 0
        assert not any(pa.types.is_null(field.type) for field in table.schema)
        assert [file.name for file in project.iterdir()] == ["dbt_project.yml"]

    def test_binders_are_thin(self) -> None:
        for path in (*MODELS.glob("training/*.py"), *MODELS.glob("scoring/int_churn_*.py")):
            assert len(path.read_text().splitlines()) <= 25, path.name


def test_deployed_scores_are_calibrated_on_the_run_date(tmp_path: Path) -> None:
    connection = data.warehouse(customers=2000)
    tables = warehouse_tables()
    ensure_deployed(connection, tables, tmp_path, quick_settings(), notify=lambda message: None)
    pipeline, _ = load_deployed(tmp_path, read_purpose(connection, tables))
    rows = data.feature_rows(2000, data.RUN_DATE)
    probability = pipeline.score(pa.table(rows))[0]
    assert probability.mean() == pytest.approx(rows["truth"].mean(), rel=0.05)
    assert np.corrcoef(probability, rows["truth"])[0, 1] > 0.93
