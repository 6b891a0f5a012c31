"""Training on any frame, and the diagnostics that a training keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import candidate_scenes as scenes
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import training_data as data
from scipy.special import logit

import models_ml.evaluation
from models_ml.errors import BayesPilotError
from models_ml.training import ComparedCandidates, feature_schema, train_candidates
from models_ml.training.diagnostics import log_odds_contributions
from models_ml.training.judging import judge
from models_ml.training.stage import TrainingResult

SETTINGS = scenes.quick_settings()
NAMES = ("logistic_regression", "gradient_boosting")
ROLES = {
    "days_since_last_activity": "numeric",
    "orders_last_90_days": "numeric",
    "average_satisfaction": "numeric",
    "plan": "categorical",
}
SCHEMA = feature_schema(ROLES, {"days_since_last_activity": 1, "orders_last_90_days": -1})
DAYS = data.MONTH_ENDS
BY_DATE: dict[str, Any] = {
    "date": "as_of_date",
    "horizon_days": 28,
    "fit": DAYS[:4],
    "calibrate": DAYS[4],
    "judge": DAYS[5],
}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return data.examples_table(500).to_pandas()


def masks(frame: pd.DataFrame) -> dict[str, Any]:
    day = frame["as_of_date"]
    return {"fit": day.isin(DAYS[:4]), "calibrate": day == DAYS[4], "judge": day == DAYS[5]}


def train(frame: Any, schema: Any = SCHEMA, **changes: Any) -> ComparedCandidates:
    given = {"label": "has_churned", "candidates": NAMES, "settings": SETTINGS} | changes
    return train_candidates(frame, schema, **given)


@pytest.fixture(scope="module")
def compared(frame: pd.DataFrame) -> ComparedCandidates:
    return train(frame, **BY_DATE)


@pytest.fixture(scope="module")
def staged() -> TrainingResult:
    return scenes.train_on(data.examples_table(600), tuple(SETTINGS.candidates), SETTINGS)


class TestAnyFrame:
    def test_pandas_arrow_dates_and_masks_say_the_same(
        self, frame: pd.DataFrame, compared: ComparedCandidates
    ) -> None:
        named = frame.assign(plan=frame["plan"].astype("category"))
        others = (
            train(pa.Table.from_pandas(frame), **BY_DATE),
            train(named, **masks(frame)),
            train(frame, **{name: mask.to_numpy() for name, mask in masks(frame).items()}),
        )
        for other in others:
            assert other.metrics == compared.metrics
            assert other.chosen == compared.chosen
            for name in NAMES:
                before, after = (of.churn_probability(frame, name) for of in (compared, other))
                assert np.array_equal(before, after)

    def test_without_inputs_the_lowest_log_loss_or_the_simplest_near_it(
        self, compared: ComparedCandidates
    ) -> None:
        assert compared.profits is None
        losses = {name: of["log_loss"] for name, of in compared.metrics.items()}
        assert compared.reason == (
            "lowest log-loss"
            if compared.chosen == min(losses, key=lambda name: losses[name])
            else "simplest within one standard error of the lowest log-loss"
        )
        truth_is_learned = compared.metrics[compared.chosen]
        assert truth_is_learned["auc"] > 0.7
        assert 0.8 < truth_is_learned["calibration_ratio"] < 1.25

    def test_a_worse_candidate_is_not_chosen_for_being_simple(self, frame: pd.DataFrame) -> None:
        """Churn at both ends of a feature: no line through it tells them apart."""
        far = np.abs(frame["days_since_last_activity"] - 60) > 35
        random = np.random.default_rng(0)
        both_ends = frame.assign(has_churned=random.random(len(frame)) < np.where(far, 0.5, 0.05))
        schema = feature_schema({"days_since_last_activity": "numeric"})
        result = train(both_ends, schema, **BY_DATE)
        assert (result.chosen, result.reason) == ("gradient_boosting", "lowest log-loss")

    def test_with_inputs_profit_decides(self, frame: pd.DataFrame) -> None:
        result = train(frame, inputs=scenes.decision_inputs(), **BY_DATE)
        assert result.profits is not None
        assert result.judged_date is not None
        diagnostics = result.diagnostics.candidates
        for name, profit in result.profits.items():
            assert diagnostics[name].contact_value.sum() == pytest.approx(profit.profit)
            assert np.isfinite(result.metrics[name]["empc"])
        assert (
            result.profits[result.chosen].shortfall <= result.profits[result.chosen].shortfall_standard_error
        )

    def test_judged_rows_are_not_used_for_fitting(
        self, frame: pd.DataFrame, compared: ComparedCandidates
    ) -> None:
        rows = masks(frame)["judge"].to_numpy()
        spoiled = frame.assign(has_churned=frame["has_churned"] ^ rows, orders_last_90_days=0)
        spoiled.loc[~rows, "orders_last_90_days"] = frame.loc[~rows, "orders_last_90_days"]
        other = train(spoiled, **BY_DATE)
        for name in NAMES:
            assert np.array_equal(
                compared.churn_probability(frame, name), other.churn_probability(frame, name)
            )

    def test_a_weight_counts(self, frame: pd.DataFrame, compared: ComparedCandidates) -> None:
        weighted = train(frame.assign(times=1 + 4 * frame["has_churned"]), weight="times", **BY_DATE)
        assert weighted.churn_probability(frame).mean() > 1.5 * compared.churn_probability(frame).mean()

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda f: (f.drop(columns="plan"), {}), "plan"),
            (lambda f: (f, {"label": "left"}), "left"),
            (lambda f: (f.assign(has_churned=f["has_churned"].where(f.index > 3)), {}), "label"),
            (lambda f: (f.assign(has_churned=2), {}), "not 0 or 1"),
            (lambda f: (f.assign(has_churned=0), {}), "nobody churned"),
            (lambda f: (f.assign(orders_last_90_days="many"), {}), "text"),
            (lambda f: (f.assign(average_satisfaction=np.inf), {}), "infinite"),
            (lambda f: (f.assign(w=0.0), {"weight": "w"}), "not positive"),
            (lambda f: (f, {"calibrate": DAYS[3]}), "two roles"),
            (lambda f: (f, {"horizon_days": 40}), "horizon of 40 days"),
            (lambda f: (f, {"horizon_days": None}), "horizon_days"),
            (lambda f: (f, {"judge": DAYS[5].replace(year=2030)}), "no rows"),
            (lambda f: (f, {"date": None}), "no column of dates"),
            (lambda f: (f, {"judge": np.ones(3, dtype=bool)}), "shape"),
            (lambda f: (f, {"candidates": ["oracle"]}), "unknown candidate"),
            (
                lambda f: (f.drop(columns="offers_allowed"), {"inputs": scenes.decision_inputs()}),
                "offers_allowed",
            ),
            (lambda f: ("no frame", {}), "cannot be read as a table"),
        ],
    )
    def test_what_cannot_be_trained_is_named(
        self, frame: pd.DataFrame, change: Callable[[pd.DataFrame], tuple[Any, dict[str, Any]]], says: str
    ) -> None:
        changed, arguments = change(frame)
        with pytest.raises(BayesPilotError, match=says):
            train(changed, **(BY_DATE | arguments))

    @pytest.mark.parametrize(
        ("roles", "effects", "says"),
        [
            ({}, {}, "no feature"),
            ({"a": "date"}, {}, "role"),
            ({"a": "numeric"}, {"b": 1}, "names no feature"),
        ],
    )
    def test_impossible_schemas_are_refused(
        self, roles: dict[str, str], effects: dict[str, int], says: str
    ) -> None:
        with pytest.raises(BayesPilotError, match=says):
            feature_schema(roles, effects)


class TestEvidence:
    def test_every_candidate_on_the_judged_rows(self, staged: TrainingResult) -> None:
        diagnostics = staged.diagnostics
        rows = staged.judged_rows
        assert diagnostics.has_churned.sum() == staged.judged_churners
        assert diagnostics.segment is None
        assert set(diagnostics.candidates) == set(staged.verdicts)
        for name, of in diagnostics.candidates.items():
            verdict = staged.verdicts[name]
            assert of.churn_probability.shape == of.uncalibrated_probability.shape == (rows,)
            assert of.contact_value.sum() == pytest.approx(verdict.profit.profit)
            assert (of.contact_value != 0).sum() <= verdict.planned_contacts
            assert sum(trial["is_chosen"] for trial in of.calibration) == 1
            assert of.thresholds[-1]["threshold"] == SETTINGS.judging.thresholds[-1]

    def test_a_threshold_below_everybody_earns_what_contacting_everybody_would(
        self, staged: TrainingResult
    ) -> None:
        first = staged.diagnostics.candidates["logistic_regression"].thresholds[0]
        above = staged.diagnostics.candidates["logistic_regression"].churn_probability >= first["threshold"]
        worth = staged.judged_date.value_if_contacted() * staged.diagnostics.weight
        assert first["profit"] == pytest.approx(worth[above].sum(), abs=0.01)
        allowed = staged.judged_date.examples.offers_allowed(2).any(axis=1)
        assert np.all(worth[~allowed] == 0)

    def test_importance_finds_what_was_planted(self, staged: TrainingResult) -> None:
        importance = {of.feature: of for of in staged.diagnostics.importance[staged.chosen]}
        assert set(importance) == set(scenes.SCHEMA.names)
        strongest = staged.diagnostics.importance[staged.chosen][0]
        assert strongest.feature in ("days_since_last_activity", "orders_last_90_days")
        assert strongest.permutation > 0.02
        for nothing in ("never_filled", "never_named"):
            assert importance[nothing].permutation == importance[nothing].shap == 0

    @pytest.mark.parametrize("name", ["logistic_regression", "random_forest", "gradient_boosting"])
    def test_contributions_add_up_to_log_odds(self, staged: TrainingResult, name: str) -> None:
        pipeline = staged.judged.pipelines[name]
        features = staged.judged_date.examples.features.slice(0, 50)
        total = log_odds_contributions(pipeline, pipeline.encoder.encode(features)).sum(axis=1)
        uncalibrated = logit(staged.diagnostics.candidates[name].uncalibrated_probability[:50])
        assert np.ptp(uncalibrated - total) < 1e-6  # they differ by one base

    def test_coefficients_are_named_after_features(self, staged: TrainingResult) -> None:
        named = dict(staged.diagnostics.coefficients)
        assert named["days_since_last_activity"] > 0 > named["orders_last_90_days"]
        assert named["plan = basic"] > named["plan = team"]
        assert "average_satisfaction is missing" in named
        sizes = [abs(value) for _, value in staged.diagnostics.coefficients]
        assert sizes == sorted(sizes, reverse=True)

    def test_a_segment_is_kept_where_there_is_one(self, frame: pd.DataFrame) -> None:
        schema = feature_schema(ROLES | {"segment": "categorical"})
        result = train(frame.assign(segment=frame["region"]), schema, candidates=NAMES[:1], **BY_DATE)
        assert result.diagnostics.segment is not None
        assert set(result.diagnostics.segment) == {"north", "south", "east", "west"}

    def test_another_pipeline_is_judged_beside_without_moving_the_terms(self, staged: TrainingResult) -> None:
        candidates = {n: of.churn_probability for n, of in staged.diagnostics.candidates.items()}
        champion = np.clip(candidates["random_forest"] * 3, 0, 0.99)
        together = judge(candidates | {"champion": champion}, staged.judged_date, SETTINGS)
        for name, verdict in staged.verdicts.items():
            assert together[name].profit.profit == verdict.profit.profit


class TestValueOfCustomers:
    def test_candidates_are_judged_by_value_and_cost_of_each_customer(self, frame: pd.DataFrame) -> None:
        random = np.random.default_rng(3)
        value, cost = random.lognormal(4, 1, len(frame)), random.uniform(1, 5, len(frame))
        named = frame.assign(worth=value)
        compared = train(named, **BY_DATE, value="worth", cost=cost, kept_share=0.4)
        judged = (frame["as_of_date"] == DAYS[5]).to_numpy()
        assert compared.profits is not None
        for name in NAMES:
            probability = compared.churn_probability(named[judged], name)
            kept = 0.4 * value[judged]
            contacted = probability * kept > cost[judged]
            profit = (named["has_churned"].to_numpy()[judged] * kept - cost[judged])[contacted].sum()
            assert compared.profits[name].profit == pytest.approx(profit)
        chosen = compared.profits[compared.chosen]
        assert chosen.shortfall <= chosen.shortfall_standard_error
        assert "highest judged profit" in compared.reason
        assert compared.judged_date is None

    def test_a_cost_beyond_every_value_contacts_nobody(self, frame: pd.DataFrame) -> None:
        compared = train(frame, **BY_DATE, value=10.0, cost=10.0, kept_share=0.5)
        assert compared.profits is not None
        assert {profit.profit for profit in compared.profits.values()} == {0.0}

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"value": 10.0}, "belong together"),
            ({"value": 10.0, "cost": 1.0, "kept_share": 1.5}, r"outside \(0, 1\]"),
            ({"value": "worth", "cost": 1.0, "kept_share": 0.5}, "no column for value"),
            ({"value": [1.0, 2.0], "cost": 1.0, "kept_share": 0.5}, "value has shape"),
            ({"value": 10.0, "cost": -1.0, "kept_share": 0.5}, "cost is below 0"),
        ],
    )
    def test_money_that_does_not_fit_is_refused(
        self, frame: pd.DataFrame, given: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(BayesPilotError, match=said):
            train(frame, **BY_DATE, **given)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda frame, compared: compared.churn_probability(frame, "xgboost"), "unknown candidate"),
        (lambda frame, compared: train(frame.iloc[:0], **BY_DATE), "the frame has no rows"),
        (lambda frame, compared: train(pd.DataFrame(), **BY_DATE), "the frame has no rows"),
        (lambda frame, compared: train(frame, **BY_DATE, candidates=["xgboost"]), "unknown candidate"),
        (lambda frame, compared: train(frame, **BY_DATE, candidates=[]), "no candidate is named"),
        (lambda frame, compared: train(frame, **BY_DATE | {"judge": "soon"}), "something other than dates"),
    ],
)
def test_faults_of_the_caller_are_named_with_a_next_step(
    frame: pd.DataFrame, compared: ComparedCandidates, call: Callable[..., object], said: str
) -> None:
    with pytest.raises(BayesPilotError, match=said) as error:
        call(frame, compared)
    assert "next: " in str(error.value)


def test_an_empty_frame_has_no_probabilities(frame: pd.DataFrame, compared: ComparedCandidates) -> None:
    assert compared.churn_probability(frame.iloc[:0]).shape == (0,)


def test_measures_are_public() -> None:
    churned, probability = np.array([1, 0, 1, 0]), np.array([0.9, 0.2, 0.6, 0.3])
    money = {"clv": 200.0, "incentive_cost": 10.0, "contact_cost": 1.0, "alpha": 6.0, "beta": 14.0}
    measures = models_ml.evaluation
    assert isinstance(measures.expected_maximum_profit(churned, probability, **money), float)
    assert isinstance(measures.maximum_profit(churned, probability, **money), float)
    assert measures.expected_calibration_error(churned, probability, bins=20) == pytest.approx(0.25)
    assert measures.brier_decomposition(churned, probability, bins=20).uncertainty == 0.25
