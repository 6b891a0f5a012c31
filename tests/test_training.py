"""The training stage: which rows are used for what, and what never leaks."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import training_data as data
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from threadpoolctl import threadpool_limits

from models_ml.decisions.economics import needed_columns
from models_ml.errors import BayesPilotError
from models_ml.training.calibration import fit_calibrator
from models_ml.training.candidates import CANDIDATES
from models_ml.training.context import read_inputs, read_purpose, warehouse_tables
from models_ml.training.examples import (
    DateCount,
    DateRules,
    ExampleReader,
    Examples,
    check_classes,
    check_date_count,
    judged_split,
    refit_split,
    ways_to_more_dates,
)
from models_ml.training.pipeline import fit_estimator, uncalibrated_log_odds
from models_ml.training.schema import FeatureSchema, fit_encoder, read_schema
from models_ml.training.settings import SETTINGS_FILE, TrainingSettings, load_settings
from models_ml.training.stage import TrainingResult, search_rows, train

ALL = tuple(CANDIDATES)


def quick_settings() -> TrainingSettings:
    """Return the real settings with fewer trees and bootstraps, and no search."""
    chosen = load_settings()
    candidates = {name: dict(parameters) for name, parameters in chosen.candidates.items()}
    candidates["random_forest"]["trees"] = 20
    candidates["gradient_boosting"]["iterations"] = 20
    spaces = {name: replace(space, at_most=1) for name, space in chosen.spaces.items()}
    judging = replace(chosen.judging, bootstraps=50)
    importance = replace(chosen.importance, shuffled_rows_at_most=200, shuffles=1, explained_rows_at_most=50)
    return replace(chosen, candidates=candidates, spaces=spaces, judging=judging, importance=importance)


def train_on(
    examples: pa.Table,
    candidates: tuple[str, ...] = ALL,
    settings: TrainingSettings | None = None,
    **tables: pa.Table,
) -> TrainingResult:
    connection = data.warehouse(training_examples=examples, **tables)
    names = warehouse_tables()
    inputs = read_inputs(connection, names, data.CURVES)
    schema = read_purpose(connection, names).schema
    reader = ExampleReader(connection, names.training_examples, schema, needed_columns(inputs))
    return train(
        reader, inputs, settings or quick_settings(), candidates=candidates, notify=lambda message: None
    )


def run_features(customers: int = 300) -> pa.Table:
    return pa.table(data.feature_rows(customers, data.RUN_DATE)).drop_columns(["truth"])


def scores(result: TrainingResult) -> dict[str, np.ndarray]:
    features = run_features()
    judged = {f"judged {n}": p.score(features)[0] for n, p in result.judged.pipelines.items()}
    return judged | {"deployed": result.pipeline.score(features)[0]}


def assert_same_verdicts(one: TrainingResult, other: TrainingResult) -> None:
    assert one.verdicts == other.verdicts
    for name, verdict in one.verdicts.items():
        assert np.array_equal(verdict.choice, other.verdicts[name].choice), name
        assert np.array_equal(verdict.contact_value, other.verdicts[name].contact_value), name


def replaced(
    table: pa.Table, rows: np.ndarray, changes: dict[str, Callable[[np.ndarray], np.ndarray]]
) -> pa.Table:
    for name, change in changes.items():
        column = table[name].to_numpy().copy()
        column[rows] = change(column[rows])
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(column))
    return table


VANDALISM = {
    "has_churned": lambda values: ~values.astype(bool),
    "orders_last_90_days": lambda values: values + 1000,
    "days_since_last_activity": lambda values: 0 * values,
    "example_weight": lambda values: values * 50,
}


@pytest.fixture(scope="module")
def examples() -> pa.Table:
    return data.examples_table()


@pytest.fixture(scope="module")
def trained(examples: pa.Table) -> TrainingResult:
    return train_on(examples)


class TestSplits:
    @given(
        dates=st.lists(st.dates(date(2020, 1, 1), date(2026, 1, 1)), min_size=1, max_size=30, unique=True),
        horizon=st.integers(1, 400),
    )
    def test_every_gap_is_at_least_a_horizon_and_no_later_date_would_do(
        self, dates: list[date], horizon: int
    ) -> None:
        gap = timedelta(days=horizon)
        try:
            split = judged_split(dates, horizon)
        except BayesPilotError:
            between = [day for day in dates if day <= max(dates) - gap]
            assert not between or min(dates) > max(between) - gap
            return
        assert split.judged_on == max(dates)
        assert split.calibrated_on == max(day for day in dates if day <= split.judged_on - gap)
        assert set(split.fit_on) == {day for day in dates if day <= split.calibrated_on - gap}
        later = refit_split(dates, horizon)
        assert later.calibrated_on == split.judged_on
        assert set(split.fit_on) < set(later.fit_on)

    def test_ninety_days_skip_month_ends(self) -> None:
        split = judged_split(data.MONTH_ENDS, 59)
        assert (split.judged_on, split.calibrated_on) == (date(2025, 6, 30), date(2025, 4, 30))
        assert split.fit_on == data.MONTH_ENDS[:2]

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_too_few_dates_are_named(self, count: int) -> None:
        with pytest.raises(BayesPilotError, match=f"there are {count}") as refused:
            judged_split(data.MONTH_ENDS[:count], 28)
        assert all(str(day) in str(refused.value) for day in data.MONTH_ENDS[:count])

    @given(
        history=st.integers(30, 700),
        minimum_history=st.integers(0, 200),
        horizon=st.integers(1, 90),
        grace=st.sampled_from([0, 0, 10]),
        step=st.integers(1, 90),
        at_most=st.integers(3, 15),
        start=st.integers(20_000, 20_100),
    )
    def test_each_way_that_the_refusal_names_helps_by_itself(
        self,
        history: int,
        minimum_history: int,
        horizon: int,
        grace: int,
        step: int,
        at_most: int,
        start: int,
    ) -> None:
        def training_dates(history: int, horizon: int, rules: DateRules) -> list[date]:
            """Return the dates as int_feature_dates does, newest first."""
            days = range(start + rules.minimum_history_days, start + history - horizon - grace + 1)
            grid = [day for day in reversed(days) if day % rules.step_days == 0]
            return [date(1970, 1, 1) + timedelta(days=day) for day in grid[: rules.dates_at_most]]

        def is_enough(history: int, horizon: int, rules: DateRules) -> bool:
            changed = replace(rules, label_days=horizon + grace)
            try:
                check_date_count(training_dates(history, horizon, changed), changed)
            except BayesPilotError:
                return False
            return True

        rules = DateRules(horizon + grace, grace, step, at_most, minimum_history)
        found = training_dates(history, horizon, rules)
        if is_enough(history, horizon, rules):
            return
        hint = ways_to_more_dates(len(found), rules)
        asked = {name: int(value) for name, value in re.findall(r"(\w+) to (\d+)", hint)}
        days = int(re.findall(r"at least (\d+) days", hint)[0])
        more_dates = replace(rules, dates_at_most=asked.pop("training_dates", at_most))
        assert is_enough(max(days, history), horizon, more_dates)
        if "minimum_history_days" in asked:
            lower = replace(rules, minimum_history_days=asked.pop("minimum_history_days"))
            assert is_enough(history, horizon, lower)
        if "training_step_days" in asked:
            both = asked.pop("training_step_days")
            assert is_enough(history, both, replace(rules, step_days=both))
        assert not asked

    @pytest.mark.parametrize(("churners", "word"), [(0, "nobody"), (10, "everybody")])
    @pytest.mark.parametrize("role", [0, 4, 5])
    def test_one_class_is_refused_with_counts(self, churners: int, word: str, role: int) -> None:
        counts = [DateCount(day, 10, 5, 12) for day in data.MONTH_ENDS]
        broken = range(4) if role == 0 else [role]
        counts = [replace(c, churners=churners) if i in broken else c for i, c in enumerate(counts)]
        with pytest.raises(BayesPilotError, match=word) as refused:
            check_classes(counts, judged_split(data.MONTH_ENDS, 28), "subscription_end")
        assert f"{churners} of 10 churned" in str(refused.value)


class TestRowsUsed:
    def test_neither_the_judged_date_nor_contacted_customers_reach_the_judged_pipelines(
        self, examples: pa.Table, trained: TrainingResult
    ) -> None:
        judged = np.array(examples["as_of_date"].to_pylist()) == data.MONTH_ENDS[-1]
        contacted = examples["was_contacted"].to_numpy()
        spoiled = scores(train_on(replaced(examples, judged | contacted, VANDALISM)))
        for name, before in scores(trained).items():
            if name.startswith("judged"):
                assert np.array_equal(before, spoiled[name]), name

    def test_contacted_customers_change_nothing_at_all(
        self, examples: pa.Table, trained: TrainingResult
    ) -> None:
        contacted = examples["was_contacted"].to_numpy()
        spoiled = train_on(replaced(examples, contacted, VANDALISM))
        assert_same_verdicts(spoiled, trained)
        assert np.array_equal(scores(spoiled)["deployed"], scores(trained)["deployed"])

    @pytest.mark.parametrize("role", [0, -2])
    def test_fit_and_calibration_dates_are_used(
        self, role: int, examples: pa.Table, trained: TrainingResult
    ) -> None:
        used = np.array(examples["as_of_date"].to_pylist()) == data.MONTH_ENDS[role]
        name = "judged logistic_regression"
        spoiled = scores(train_on(replaced(examples, used, VANDALISM), ("logistic_regression",)))
        assert not np.array_equal(scores(trained)[name], spoiled[name])

    def test_the_last_matured_date_calibrates_what_is_deployed(self, trained: TrainingResult) -> None:
        assert trained.judged.split.judged_on == trained.refitted.split.calibrated_on == data.MONTH_ENDS[-1]
        assert trained.refitted.split.fit_on == data.MONTH_ENDS[:-1]


class TestDeterminism:
    def test_row_order_and_threads_change_no_bit(self, examples: pa.Table, trained: TrainingResult) -> None:
        shuffled = examples.take(np.random.default_rng(9).permutation(examples.num_rows))
        chosen = quick_settings()
        assert examples.num_rows < chosen.rows.parallel_from  # so the first training used one thread
        with threadpool_limits(2):
            again = train_on(shuffled, settings=replace(chosen, rows=replace(chosen.rows, parallel_from=0)))
        assert_same_verdicts(again, trained)
        assert again.refitted.data_fingerprint == trained.refitted.data_fingerprint
        for name, before in scores(trained).items():
            assert np.array_equal(before, scores(again)[name]), name

    def test_batches_may_be_cut_anywhere(self, trained: TrainingResult) -> None:
        features = run_features()
        for name, pipeline in trained.judged.pipelines.items():
            whole = pipeline.score(features)[0]
            parts = [pipeline.score(batch)[0] for batch in features.to_batches(max_chunksize=37)]
            assert np.abs(np.concatenate(parts) - whole).max() < 1e-13, name

    def test_data_changes_the_fingerprint(self, examples: pa.Table, trained: TrainingResult) -> None:
        one = np.arange(examples.num_rows) == int(np.flatnonzero(~examples["was_contacted"].to_numpy())[0])
        changed = replaced(examples, one, {"orders_last_90_days": lambda values: values + 1})
        again = train_on(changed, ("logistic_regression",))
        assert again.refitted.data_fingerprint != trained.refitted.data_fingerprint


class TestQuality:
    def test_every_candidate_finds_the_planted_truth(self, trained: TrainingResult) -> None:
        for name, verdict in trained.verdicts.items():
            assert verdict.metrics["auc"] > 0.7, name
            assert 0.8 < verdict.metrics["calibration_ratio"] < 1.25, name

    def test_the_plan_keeps_the_scaled_limits(self, trained: TrainingResult) -> None:
        assert 0.9 < trained.judged_share < 1.0  # nine in ten, by weights of 1.05 on average
        for verdict in trained.verdicts.values():
            assert verdict.planned_contacts > 0
            assert verdict.planned_cost <= 900.0 * trained.judged_share

    @pytest.mark.parametrize("candidate", ["random_forest", "gradient_boosting"])
    def test_trees_keep_to_expected_effects(self, candidate: str, trained: TrainingResult) -> None:
        features = run_features(50)
        column = features.schema.get_field_index("days_since_last_activity")
        risk = []
        for days in (0, 30, 60, 90, 119):
            silent = features.set_column(
                column, "days_since_last_activity", pa.array([days] * 50, pa.int32())
            )
            risk.append(trained.judged.pipelines[candidate].score(silent)[0])
        assert np.all(np.diff(risk, axis=0) >= 0)

    def test_without_money_nobody_is_contacted_and_the_simplest_wins(self, examples: pa.Table) -> None:
        result = train_on(examples, int_policy_parameters=data.policy_table(monthly_budget=0.0))
        assert result.chosen == "logistic_regression"
        assert "contacts anyone" in result.reason

    def test_unknown_candidate_lists_the_choices(self, examples: pa.Table) -> None:
        with pytest.raises(BayesPilotError, match="random_forest"):
            train_on(examples, ("neural_network",))

    @pytest.mark.parametrize("candidate", ALL)
    def test_fitting_counts_weights(self, candidate: str, examples: pa.Table) -> None:
        """Churners of weight nine raise every predicted risk, before calibration."""
        rows = examples.filter(pc.equal(examples["as_of_date"], data.MONTH_ENDS[0]))
        churned = rows["has_churned"].to_numpy()
        place, schema = (
            rows.schema.get_field_index("example_weight"),
            read_schema(data.schema_table().to_pylist()),
        )
        settings, mean = quick_settings(), []
        for weight in (1.0, 9.0):
            weighted = rows.set_column(place, "example_weight", pa.array(np.where(churned, weight, 1.0)))
            part = Examples(weighted, schema)
            encoder, estimator = fit_estimator(
                candidate, part, schema, settings, settings.candidates[candidate]
            )
            mean.append(float(expit(uncalibrated_log_odds(encoder, estimator, part.features)).mean()))
        assert mean[1] > 2 * mean[0]

    def test_a_search_fits_a_horizon_before_the_date_that_compares(self, examples: pa.Table) -> None:
        connection = data.warehouse(training_examples=examples)
        schema = read_schema(data.schema_table().to_pylist())
        reader = ExampleReader(connection, "select * from training_examples", schema, ())
        split = judged_split(data.MONTH_ENDS, data.HORIZON_DAYS)
        rows = search_rows(reader, split, data.HORIZON_DAYS, quick_settings())
        assert rows is not None
        fitted, validated = (set(part.table["as_of_date"].to_pylist()) for part in (rows.fit, rows.validate))
        assert validated == {max(split.fit_on)}
        assert max(fitted) + timedelta(days=data.HORIZON_DAYS) <= max(validated)


class TestReading:
    def reader(self, examples: pa.Table) -> ExampleReader:
        connection = data.warehouse(training_examples=examples)
        return ExampleReader(
            connection, "select * from training_examples", read_schema(data.schema_table().to_pylist()), ()
        )

    def test_a_cap_draws_the_same_rows_whatever_their_order(self, examples: pa.Table) -> None:
        shuffled = examples.take(np.random.default_rng(3).permutation(examples.num_rows))
        drawn = [self.reader(t).read(data.MONTH_ENDS[:2], 100).table for t in (examples, shuffled)]
        assert drawn[0].num_rows == 100
        assert drawn[0].equals(drawn[1])
        assert set(drawn[0]["as_of_date"].to_pylist()) == set(data.MONTH_ENDS[:2])

    def test_zero_means_all_untouched_rows(self, examples: pa.Table) -> None:
        day = data.MONTH_ENDS[0]
        at_date = np.array(examples["as_of_date"].to_pylist()) == day
        read = self.reader(examples).read([day], 0)
        assert read.table.num_rows == int((at_date & ~examples["was_contacted"].to_numpy()).sum())

    def test_counts_are_of_untouched_customers(self, examples: pa.Table) -> None:
        count = self.reader(examples).date_counts()[0]
        first = examples.slice(0, 800)
        untouched = ~first["was_contacted"].to_numpy()
        churned = first["has_churned"].to_numpy()[untouched].sum()
        assert count == DateCount(data.MONTH_ENDS[0], int(untouched.sum()), int(churned), 800)

    @pytest.mark.parametrize(
        ("column", "value", "says"),
        [("monthly_revenue", np.inf, "infinite"), ("example_weight", 0.0, "example_weight")],
    )
    def test_impossible_values_are_refused_by_name(
        self, examples: pa.Table, column: str, value: float, says: str
    ) -> None:
        broken = replaced(examples, ~examples["was_contacted"].to_numpy(), {column: lambda v: 0 * v + value})
        with pytest.raises(BayesPilotError, match=says):
            self.reader(broken).read(data.MONTH_ENDS, 0)


class TestEncoding:
    schema = read_schema(data.schema_table().to_pylist())

    def test_missing_unknown_and_empty(self) -> None:
        table = run_features(200)
        encoder = fit_encoder(table, self.schema, 30)
        assert encoder.categories["plan"] == ("basic", "pro", "team")
        other = table.set_column(table.schema.get_field_index("plan"), "plan", pa.array(["new"] * 200))
        matrix = encoder.encode(other)
        assert np.isnan(matrix[:, self.schema.names.index("plan")]).all()
        assert (matrix[:, self.schema.names.index("never_filled")] == 0).all()
        missing = encoder.encode(table)[:, self.schema.names.index("average_satisfaction")]
        assert np.isnan(missing).sum() == table["average_satisfaction"].null_count > 0

    def test_a_missing_column_and_a_wrong_kind_are_named(self) -> None:
        table = run_features(5)
        encoder = fit_encoder(table, self.schema, 30)
        with pytest.raises(BayesPilotError, match="plan"):
            encoder.encode(table.drop_columns(["plan"]))
        wrong = table.set_column(table.schema.get_field_index("plan"), "plan", pa.array([1] * 5))
        with pytest.raises(BayesPilotError, match=r"plan: int64 is not categorical"):
            encoder.encode(wrong)

    def test_an_infinite_value_is_named(self) -> None:
        table = run_features(5)
        encoder = fit_encoder(table, self.schema, 30)
        at = table.schema.get_field_index("average_satisfaction")
        infinite = table.set_column(at, "average_satisfaction", pa.array([1.0, -np.inf, None, 2.0, 3.0]))
        with pytest.raises(BayesPilotError, match=r"infinite values[^$]*average_satisfaction"):
            encoder.encode(infinite)


class TestCalibration:
    @pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
    def test_the_curve_meets_the_weighted_churn_rate_and_never_falls(self, method: str) -> None:
        random = np.random.default_rng(1)
        score = random.normal(size=5000)
        churned = random.random(5000) < 1 / (1 + np.exp(1.5 - 0.7 * score))
        weight = random.uniform(1, 2, 5000)
        floor = 1e-6
        curve = fit_calibrator(method, score, churned, weight, floor=floor)
        rate = np.average(churned, weights=weight)
        assert np.average(curve.apply(score), weights=weight) == pytest.approx(rate, rel=1e-3)
        assert np.all(np.diff(curve.apply(np.linspace(-9, 9, 99))) >= 0)
        extremes = curve.apply(np.array([-1e6, 1e6]))
        assert floor <= extremes[0] < extremes[1] <= 1 - floor

    def test_a_ranking_that_is_wrong_by_chance_is_not_turned_round(self) -> None:
        score = np.repeat([0.0, 1.0], 500)
        churned = np.arange(1000) < 60  # nobody churns where the score is high
        curve = fit_calibrator("sigmoid", score, churned, np.ones(1000), floor=1e-6)
        assert curve.apply(np.array([0.0, 1.0])) == pytest.approx([0.06, 0.06])


class TestSchema:
    schema = read_schema(data.schema_table().to_pylist())

    def test_differences_name_features(self) -> None:
        first, *rest = self.schema.features
        changed = FeatureSchema(
            (replace(first, data_type="BIGINT"), *rest[1:], replace(first, feature="new"))
        )
        assert self.schema.differences(changed) == [
            f"{rest[0].feature} (gone)",
            "new (new)",
            f"{first.feature} (changed)",
        ]
        assert self.schema.differences(self.schema) == []
        assert self.schema.differences(FeatureSchema((*rest, first))) == ["order of features"]

    @pytest.mark.parametrize("change", [{"role": "text"}, {"expected_effect": 2}, {"feature": "plan"}])
    def test_impossible_rows_are_refused(self, change: dict[str, object]) -> None:
        rows = data.schema_table().to_pylist()
        with pytest.raises(BayesPilotError, match=r"customer_features\.yml"):
            read_schema([rows[0] | change, *rows[1:]])
        with pytest.raises(BayesPilotError, match="no feature"):
            read_schema([])


@pytest.mark.parametrize("line", ["bootstraps", "lift_share", "seed"])
def test_a_missing_setting_is_named(tmp_path: Path, line: str) -> None:
    copy = tmp_path / "settings.toml"
    shutil.copy(SETTINGS_FILE, copy)
    kept = [text for text in copy.read_text().splitlines() if not text.startswith(line)]
    copy.write_text("\n".join(kept))
    with pytest.raises(BayesPilotError, match=line):
        load_settings(copy)
