"""Learners of effects, their posterior, folds, selection and the Qini curve, against numbers known beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_ml.training import feature_schema
from models_ml.uplift.held_out import descending_rank, qini_curve
from models_ml.uplift.learners import LEARNERS, LearnerInputs, _Problem, fit_posterior
from models_ml.uplift.policies import choose_simplest, judge_policies
from models_ml.uplift.settings import QiniSettings, load_settings
from models_ml.uplift.trial import Money, Trial, read_trial, stratified_folds

SETTINGS = load_settings()
SCHEMA = feature_schema({"x": "numeric", "plan": "categorical"})


def simulated(rows: int, *, slope: float, money: bool = False, seed: int = 0) -> tuple[Trial, np.ndarray]:
    """Return a trial in which the offer moves the outcome by ``slope`` · sign(x), and that effect."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": random.normal(size=rows), "plan": random.choice(["a", "b"], rows)})
    frame["arm"] = random.choice(["none", "offer"], rows)
    effect = slope * np.sign(frame["x"].to_numpy())
    level = 0.5 + effect * (frame["arm"] == "offer")
    frame["y"] = random.gamma(4.0, 10.0 * level) if money else (random.random(rows) < level).astype(float)
    trial = read_trial(
        frame, SCHEMA, treatment="arm", control="none", outcome="y", propensity=0.5,
        money=Money(1.0, 0.0), settings=SETTINGS.trial,
    )  # fmt: skip
    return trial, effect * (40.0 if money else 1.0)


@pytest.mark.parametrize("money", [False, True], ids=["binary", "money"])
@pytest.mark.parametrize("name", list(LEARNERS))
def test_every_learner_finds_a_strong_difference(name: str, money: bool) -> None:
    trial, _ = simulated(4000, slope=0.3, money=money)
    assert trial.is_binary != money
    fresh, truth = simulated(2000, slope=0.3, money=money, seed=1)
    found = LEARNERS[name].fit(LearnerInputs(trial, SETTINGS)).effects(fresh.features)[:, 0]
    assert np.corrcoef(found, truth)[0, 1] > 0.7
    assert np.mean(np.sign(found) == np.sign(truth)) > 0.9


def test_a_learner_of_an_arm_without_variation_predicts_its_level() -> None:
    trial, _ = simulated(1000, slope=0.0)
    fixed = replace(trial, outcome=np.where(trial.arm == 1, 1.0, trial.outcome))
    found = LEARNERS["t_logistic_regression"].fit(LearnerInputs(fixed, SETTINGS)).effects(fixed.features)
    control = fixed.outcome[fixed.arm == 0].mean()
    assert found.mean() == pytest.approx(1 - control, abs=0.02)


class TestPosterior:
    def test_without_differences_everybody_is_predicted_alike(self) -> None:
        trial, _ = simulated(4000, slope=0.0)
        posterior = fit_posterior(trial, SETTINGS)
        assert posterior.interaction_sd == min(SETTINGS.posterior.interaction_sds)
        assert np.ptp(posterior.effects(trial.features)) < 0.01

    def test_with_differences_the_prior_gives_way(self) -> None:
        trial, _ = simulated(4000, slope=0.3)
        assert fit_posterior(trial, SETTINGS).interaction_sd == max(SETTINGS.posterior.interaction_sds)

    def test_the_mode_of_amounts_is_the_ridge_solution(self) -> None:
        random = np.random.default_rng(5)
        z = np.column_stack([np.ones(200), random.normal(size=(200, 2))])
        arm = random.integers(0, 3, 200)
        response = random.normal(size=200)
        problem = _Problem(z, response, arm, 2, is_binary=False)
        precision = np.array([0.1, 1, 1, 1, 25, 25, 1, 25, 25], dtype=float)
        found, _ = problem.mode(np.zeros(9), precision)
        whole = np.hstack([z, z * (arm == 1)[:, None], z * (arm == 2)[:, None]])
        solved = np.linalg.solve(
            whole.T @ whole / problem.noise + np.diag(precision), whole.T @ response / problem.noise
        )
        np.testing.assert_allclose(found, solved, atol=1e-9)

    def test_the_mode_of_a_binary_outcome_is_a_maximum(self) -> None:
        random = np.random.default_rng(6)
        z = np.column_stack([np.ones(300), random.normal(size=300)])
        problem = _Problem(
            z, (random.random(300) < 0.3).astype(float), random.integers(0, 2, 300), 1, is_binary=True
        )
        precision = np.array([0.04, 1.0, 1.0, 10.0])
        mode, _ = problem.mode(np.zeros(4), precision)

        def height(at: np.ndarray) -> float:
            return problem.log_likelihood(at) - 0.5 * float((precision * at**2).sum())

        for step in np.vstack([np.eye(4), -np.eye(4)]) * 1e-3:
            assert height(mode + step) < height(mode)

    def test_the_evidence_of_amounts_is_the_marginal_likelihood(self) -> None:
        # y ~ N(0, noise · I + X P⁻¹ Xᵀ): differences between priors must agree with the density itself.
        random = np.random.default_rng(7)
        z = np.column_stack([np.ones(40), random.normal(size=40)])
        arm = random.integers(0, 2, 40)
        response = random.normal(size=40)
        problem = _Problem(z, response, arm, 1, is_binary=False)
        whole = np.hstack([z, z * (arm == 1)[:, None]])

        def both(precision: np.ndarray) -> tuple[float, float]:
            mode, curvature = problem.mode(np.zeros(4), precision)
            spread = problem.noise * np.eye(40) + whole @ np.diag(1 / precision) @ whole.T
            density = -0.5 * (np.linalg.slogdet(spread)[1] + response @ np.linalg.solve(spread, response))
            return problem.evidence(mode, curvature, precision), float(density)

        first, second = both(np.array([0.1, 1, 1, 100.0])), both(np.array([0.1, 1, 1, 4.0]))
        assert first[0] - second[0] == pytest.approx(first[1] - second[1], abs=1e-8)


class TestFolds:
    @given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=10, max_size=60), st.integers(2, 5))
    def test_every_combination_is_spread_evenly(self, rows: list[tuple[int, bool]], folds: int) -> None:
        arm, outcome = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
        fold = stratified_folds([arm, outcome], folds, seed=1)
        assert np.ptp(np.bincount(fold, minlength=folds)) <= 1
        for combination in set(rows):
            inside = fold[(arm == combination[0]) & (outcome == combination[1])]
            assert np.ptp(np.bincount(inside, minlength=folds)) <= 1

    def test_another_seed_gives_other_folds(self) -> None:
        strata = [np.zeros(100)]
        assert (stratified_folds(strata, 5, 1) == stratified_folds(strata, 5, 1)).all()
        assert (stratified_folds(strata, 5, 1) != stratified_folds(strata, 5, 2)).any()


class TestSelection:
    def test_shortfalls_are_paired(self) -> None:
        # Rows differ a lot, policies hardly: 1 more in every other row, a standard error of 0.5 / √(n − 1).
        noise = np.random.default_rng(0).normal(0, 100, 101)
        ahead = np.arange(101) % 2
        treated = {"treat none": np.zeros(101), "a": np.ones(101)}
        judged = judge_policies({"treat none": noise, "a": noise + ahead}, treated, {"treat none": 0, "a": 2})
        assert judged["treat none"].shortfall == pytest.approx(50 / 101)
        assert judged["treat none"].shortfall_standard_error == pytest.approx(ahead.std(ddof=1) / 101**0.5)
        assert choose_simplest(judged) == "a"

    def test_the_simplest_within_one_standard_error_is_chosen(self) -> None:
        noise = np.random.default_rng(0).normal(0, 100, 100)
        judged = judge_policies(
            {"treat none": np.zeros(100), "a": noise - noise.mean() + 5.0},
            {"treat none": np.zeros(100), "a": np.ones(100)},
            {"treat none": 0, "a": 2},
        )
        assert judged["a"].shortfall == 0.0
        assert judged["treat none"].shortfall == pytest.approx(5.0)
        assert choose_simplest(judged) == "treat none"


class TestQini:
    SETTINGS = QiniSettings(bins=20, bootstraps=200)

    def test_a_random_order_is_worth_nothing_and_its_interval_says_so(self) -> None:
        random = np.random.default_rng(1)
        held = []
        for seed in range(60):
            gain = random.normal(1.0, 5.0, 1000)
            curve = qini_curve(gain, descending_rank(random.normal(size=1000), seed), self.SETTINGS, seed)
            held.append(curve.coefficient_low < 0 < curve.coefficient_high)
            assert curve.value[-1] == pytest.approx(gain.mean())
        assert np.mean(held) > 0.86

    def test_the_band_holds_the_whole_true_curve(self) -> None:
        random = np.random.default_rng(2)
        held = []
        for seed in range(60):
            rank = (random.permutation(1000) + 0.5) / 1000
            curve = qini_curve(2.0 - 4.0 * rank + random.normal(0, 5, 1000), rank, self.SETTINGS, seed)
            truth = 2.0 * curve.share - 2.0 * curve.share**2
            held.append(bool(((curve.low - 1e-9 <= truth) & (truth <= curve.high + 1e-9)).all()))
        assert np.mean(held) > 0.85

    def test_the_best_come_first(self) -> None:
        gain = np.repeat([3.0, -1.0], 500)
        best = qini_curve(gain, descending_rank(gain, 1), self.SETTINGS, 1)
        worst = qini_curve(gain, descending_rank(-gain, 1), self.SETTINGS, 1)
        # Triangle to (1/2, 3/2), then down to 1: area 3/8 + 5/8 = 1, the line's is 1/2.
        assert best.coefficient == pytest.approx(0.5)
        assert worst.coefficient == pytest.approx(-0.5)
