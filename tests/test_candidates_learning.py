"""How candidates learn: calibration and hyper-parameters chosen on rows that judge nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import candidate_scenes as scenes
import numpy as np
import pyarrow as pa
import pytest
import training_data as data
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from models_ml.errors import BayesPilotError
from models_ml.evaluation.metrics import calibration_ratio, row_log_loss
from models_ml.training.calibration import choose_calibration, fit_calibrator
from models_ml.training.search import search_dates, settings_to_try
from models_ml.training.settings import SETTINGS_FILE, SearchSpace, load_settings
from models_ml.training.stage import TrainingResult

LOGISTIC = ("logistic_regression",)
SHRINKAGE = SearchSpace(3, {"inverse_regularisation": (0.000_001, 0.1, 1.0)}, {})


def outcomes(log_odds: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(len(log_odds)) < expit(log_odds)


class TestCalibrationChoice:
    settings = load_settings()

    def chosen(self, log_odds: np.ndarray, churned: np.ndarray) -> str:
        choice = choose_calibration(log_odds, churned, np.ones(len(churned)), self.settings)
        assert [trial["method"] for trial in choice.trials if trial["is_chosen"]] == [
            choice.calibrator.method
        ]
        return choice.calibrator.method

    @pytest.mark.parametrize("seed", range(6))
    def test_a_flexible_curve_does_not_win_by_learning_its_own_rows(self, seed: int) -> None:
        """On its own rows isotonic always fits better than the sigmoid that made them."""
        score = np.random.default_rng(seed).normal(size=4000)
        churned = outcomes(0.8 * score - 0.7, seed)
        assert churned.sum() >= self.settings.calibration.isotonic_from_churners
        fits = {
            method: row_log_loss(
                churned, fit_calibrator(method, score, churned, np.ones(4000), floor=1e-6).apply(score)
            ).sum()
            for method in ("sigmoid", "isotonic")
        }
        assert fits["isotonic"] < fits["sigmoid"]
        assert self.chosen(score, churned) == "sigmoid"

    def test_isotonic_wins_where_the_truth_is_a_step(self) -> None:
        score = np.random.default_rng(0).normal(size=6000)
        assert self.chosen(score, outcomes(np.where(score > 0.5, 1.5, -2.0))) == "isotonic"

    def test_isotonic_is_not_tried_with_few_churners(self) -> None:
        score = np.random.default_rng(0).normal(size=3000)
        churned = outcomes(np.where(score > 0.5, 0.0, -3.0))
        choice = choose_calibration(score, churned, np.ones(3000), self.settings)
        assert churned.sum() < 1000
        assert [trial["method"] for trial in choice.trials] == ["sigmoid", "none"]

    def test_the_first_method_is_kept_within_noise_and_a_moved_level_is_not_noise(self) -> None:
        score = np.linspace(-3, 1, 4000)
        first = replace(self.settings.calibration, methods=("none", "sigmoid"))
        rules = replace(self.settings, calibration=first)
        for moved, method in ((0.0, "none"), (0.5, "sigmoid")):
            choice = choose_calibration(score, outcomes(score + moved), np.ones(4000), rules)
            assert choice.calibrator.method == method

    def test_trials_say_what_calibration_mended(self) -> None:
        score = np.random.default_rng(0).normal(-2, 1, 20_000)
        choice = choose_calibration(score + 1, outcomes(score), np.ones(20_000), self.settings)
        trials = {trial["method"]: trial for trial in choice.trials}
        assert trials["none"]["calibration_ratio"] > 1.5
        assert trials["sigmoid"]["calibration_ratio"] == pytest.approx(1, abs=0.01)
        assert trials["sigmoid"]["calibration_error"] < trials["none"]["calibration_error"] / 5
        assert trials["sigmoid"]["brier"] < trials["none"]["brier"]
        assert trials["none"]["log_loss_gain"] < -10 * trials["none"]["log_loss_gain_standard_error"]
        for trial in choice.trials:
            assert trial["mean_predicted"] / trial["mean_observed"] == pytest.approx(
                trial["calibration_ratio"]
            )

    @pytest.mark.parametrize("churners", [1, 2, 3])
    def test_a_handful_of_churners_still_gets_a_curve(self, churners: int) -> None:
        churned = np.arange(200) < churners
        choice = choose_calibration(np.linspace(1, -1, 200), churned, np.ones(200), self.settings)
        assert calibration_ratio(churned, choice.calibrator.apply(np.linspace(1, -1, 200))) == pytest.approx(
            1, rel=0.05
        )


@pytest.fixture(scope="module")
def examples() -> pa.Table:
    return data.examples_table(600)


class TestSearch:
    def trained(self, examples: pa.Table, declared: float, space: SearchSpace = SHRINKAGE) -> TrainingResult:
        chosen = scenes.quick_settings(logistic_regression=space)
        candidates = dict(chosen.candidates)
        candidates["logistic_regression"] = dict(candidates["logistic_regression"]) | {
            "inverse_regularisation": declared
        }
        return scenes.train_on(examples, LOGISTIC, replace(chosen, candidates=candidates))

    def test_a_clearly_better_setting_is_found_and_refitted(self, examples: pa.Table) -> None:
        result = self.trained(examples, declared=0.000_001)
        assert result.recipes["logistic_regression"]["inverse_regularisation"] in (0.1, 1.0)
        for pipeline in (result.pipeline, result.judged.pipelines["logistic_regression"]):
            estimator = pipeline.estimator.named_steps["estimator"]
            assert result.recipes["logistic_regression"]["inverse_regularisation"] == estimator.C
        trials = result.diagnostics.candidates["logistic_regression"].search
        assert len(trials) == 3
        assert [trial["is_chosen"] for trial in trials].count(True) == 1
        best = min(trials, key=lambda trial: trial["score"])
        assert best["is_chosen"]

    def test_within_noise_the_declared_setting_stays(self, examples: pa.Table) -> None:
        result = self.trained(
            examples, declared=0.1, space=SearchSpace(4, {"inverse_regularisation": (0.09, 0.11, 0.12)}, {})
        )
        assert result.recipes["logistic_regression"]["inverse_regularisation"] == 0.1

    def test_too_few_fit_dates_keep_the_declared_setting(self, examples: pa.Table) -> None:
        last = examples.filter(
            pa.compute.greater_equal(examples["as_of_date"], pa.scalar(data.MONTH_ENDS[3]))
        )
        result = self.trained(last, declared=0.000_001)
        assert result.recipes["logistic_regression"]["inverse_regularisation"] == 0.000_001
        assert result.diagnostics.candidates["logistic_regression"].search == ()

    @given(at_most=st.integers(1, 40))
    def test_the_budget_holds_and_the_declared_setting_is_always_tried(self, at_most: int) -> None:
        chosen = load_settings()
        name = "gradient_boosting"
        space = replace(chosen.spaces[name], at_most=at_most)
        tried = settings_to_try(name, replace(chosen, spaces={name: space}))
        points = int(np.prod([len(values) for values in space.values.values()]))
        assert len(tried) == min(at_most, points)
        assert tried[0] == chosen.candidates[name]
        assert len({tuple(recipe.items()) for recipe in tried}) == len(tried)

    def test_every_declared_space_contains_the_declared_setting(self) -> None:
        chosen = load_settings()
        for name, space in chosen.spaces.items():
            for parameter, values in space.values.items():
                assert chosen.candidates[name][parameter] in values, (name, parameter)

    @given(horizon=st.integers(1, 200), months=st.integers(1, 6))
    def test_validation_is_the_last_fit_date_a_horizon_after_what_is_fitted(
        self, horizon: int, months: int
    ) -> None:
        found = search_dates(data.MONTH_ENDS[:months], horizon)
        if found is None:
            assert (data.MONTH_ENDS[months - 1] - data.MONTH_ENDS[0]).days < horizon
            return
        earlier, last = found
        assert last == data.MONTH_ENDS[months - 1]
        assert (last - max(earlier)).days >= horizon

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ("while_searching = { trees = 50 }", "while_searching = { leaves = 5 }", "leaves"),
            ('methods = ["sigmoid"', 'methods = ["platt"', "platt"),
            (
                "bootstraps = 500",
                "bootstraps = 1",
                "bootstraps = 1: input should be greater than or equal to 2",
            ),
        ],
    )
    def test_unknown_names_are_refused(self, tmp_path: Path, old: str, new: str, says: str) -> None:
        copy = tmp_path / "settings.toml"
        text = SETTINGS_FILE.read_text()
        assert old in text
        copy.write_text(text.replace(old, new))
        with pytest.raises(BayesPilotError, match=says):
            load_settings(copy)


SMALL = data.examples_table(250)
JUDGED = np.array(SMALL["as_of_date"].to_pylist()) == data.MONTH_ENDS[-1]
OFF_LIMITS = JUDGED | SMALL["was_contacted"].to_numpy()
SEARCHED = scenes.quick_settings(logistic_regression=replace(SHRINKAGE, at_most=2))


@pytest.fixture(scope="module")
def untouched() -> TrainingResult:
    return scenes.train_on(SMALL, LOGISTIC, SEARCHED)


class TestNothingLeaks:
    @given(seed=st.integers(0, 10_000), share=st.sampled_from([0.02, 0.5, 1.0]))
    @settings(max_examples=5)
    def test_neither_the_judged_date_nor_contacted_customers_reach_fit_calibration_or_search(
        self, untouched: TrainingResult, seed: int, share: float
    ) -> None:
        """Any change in those rows: labels, weights, features."""
        random = np.random.default_rng(seed)
        rows = OFF_LIMITS & (random.random(SMALL.num_rows) < share)
        spoiled = scenes.replaced(
            SMALL,
            rows,
            {
                "has_churned": lambda values: random.random(len(values)) < 0.5,
                "example_weight": lambda values: random.uniform(0.1, 50, len(values)),
                "orders_last_90_days": lambda values: random.integers(0, 10**6, len(values)),
                "monthly_revenue": lambda values: random.uniform(0, 10**6, len(values)),
                "days_since_last_activity": lambda values: random.integers(0, 500, len(values)).astype(
                    "int32"
                ),
            },
        )
        result = scenes.train_on(spoiled, LOGISTIC, SEARCHED)
        name = LOGISTIC[0]
        assert result.recipes == untouched.recipes
        assert result.judged.data_fingerprint == untouched.judged.data_fingerprint
        assert result.judged.calibration_trials == untouched.judged.calibration_trials
        assert result.judged.pipelines[name].calibrator == untouched.judged.pipelines[name].calibrator
        before, after = (
            [trial["score"] for trial in of.diagnostics.candidates[name].search] for of in (untouched, result)
        )
        assert before == after
        assert len(before) == 2
        features = pa.table(data.feature_rows(100, data.RUN_DATE))
        scores = [of.judged.pipelines[name].score(features)[0] for of in (untouched, result)]
        assert np.array_equal(scores[0], scores[1])

    def test_the_refit_does_learn_from_the_judged_date(self, untouched: TrainingResult) -> None:
        spoiled = scenes.replaced(SMALL, JUDGED, {"has_churned": lambda values: ~values.astype(bool)})
        result = scenes.train_on(spoiled, LOGISTIC, SEARCHED)
        assert result.refitted.data_fingerprint != untouched.refitted.data_fingerprint
        assert result.pipeline.calibrator != untouched.pipeline.calibrator


ONE_TRAINING = """
import hashlib
from dataclasses import replace
import candidate_scenes as scenes, pyarrow as pa, training_data as data
spaces = {
    name: replace(space, at_most=2, while_searching={"iterations": 3} if "bins" in space.while_searching else {})
    for name, space in scenes.load_settings().spaces.items()
}
chosen = scenes.quick_settings(**spaces)
candidates = {name: dict(of) for name, of in chosen.candidates.items()}
candidates["gradient_boosting"] |= {"iterations": 8, "leaves": 7}
chosen = replace(chosen, rows=replace(chosen.rows, parallel_from=0), candidates=candidates)
names = ("logistic_regression", "random_forest", "gradient_boosting")
result = scenes.train_on(data.examples_table(25_000), names, chosen)
features = pa.table(data.feature_rows(300, data.RUN_DATE))
digest = hashlib.sha256(result.chosen.encode() + repr(result.recipes).encode())
for name in names:
    digest.update(result.judged.pipelines[name].score(features)[0].tobytes())
    digest.update(result.diagnostics.candidates[name].contact_value.tobytes())
digest.update(result.pipeline.score(features)[0].tobytes())
digest.update(repr(result.diagnostics.importance).encode())
print(digest.hexdigest())
"""


def test_one_and_two_threads_give_the_same_bits() -> None:
    """In processes of their own, because the number of threads is read when libraries load.

    From some ten thousand rows a date on, BLAS and boosting share their sums among threads.
    """
    tests = str(Path(__file__).parent)
    started = []
    for threads in ("1", "2"):
        path = os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
        number = {
            "OMP_NUM_THREADS": threads,
            "OMP_WAIT_POLICY": "passive",
        }  # waiting threads leave their core
        environment = os.environ | number | {"PYTHONPATH": path}
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", ONE_TRAINING], env=environment, stdout=subprocess.PIPE, text=True
            )
        )
    # A slow query of DuckDB may show its progress on the lines before.
    digests = [process.communicate(timeout=300)[0].strip().rpartition("\n")[2] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert len(digests[0]) == 64
    assert digests[0] == digests[1]
