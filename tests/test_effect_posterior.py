"""Effects from randomised episodes: against integration, in coverage, and where churn probabilities are off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit

from models_ml.decisions.policy import policy_bounds, seed_bounds
from models_ml.effects.effect_posterior import (
    EffectPriors,
    Floats,
    LogPosterior,
    Prior,
    RandomisedEpisodes,
    calibration_covariance,
    effect_posterior,
    prior_beliefs,
    rows_of_cells,
    shares_reached,
)
from models_ml.effects.effect_settings import SETTINGS_FILE, load_settings
from models_ml.errors import BayesPilotError

SETTINGS, _ = load_settings()
SIGNAL_VALUES = (0.0, 0.0, 0.5, 1.0, 2.0)


def beliefs(*mean: float, sd: float, offers: int = 1, correlation: float = 0.0) -> EffectPriors:
    """Return the same belief, intercept first, about each offer."""
    signals = tuple(f"signal_{number}" for number in range(len(mean) - 1))
    names = tuple(f"offer_{number}" for number in range(offers))
    return EffectPriors(
        names, signals, np.tile(mean, (offers, 1)), np.full((offers, len(mean)), sd), correlation
    )


def draw_trial(
    rng: np.random.Generator,
    effects: Floats,
    *,
    contacted: int,
    controls: int,
    reached: float = 1.0,
    contaminated: float = 0.0,
    calibration: Floats | None = None,
) -> RandomisedEpisodes:
    """Draw a past trial: per offer `contacted` customers of whom a share is reached, and controls.

    A share of the controls is `contaminated` by the first offer; `calibration` (1 + s,) is how log-odds of churn
    differ from those predicted.
    """
    offers, width = effects.shape
    offer = np.concatenate([np.repeat(np.arange(offers), contacted), np.full(controls, offers)])
    signals = rng.choice(SIGNAL_VALUES, (len(offer), width - 1))
    design = np.column_stack([np.ones(len(offer)), signals])
    predicted = rng.normal(-1.5, 1.0, len(offer))
    alone = predicted + (0.0 if calibration is None else design @ calibration)
    reach = np.vstack([reached * np.eye(offers), np.eye(1, offers) * contaminated])
    is_reached = rng.random(len(offer)) < reach.sum(axis=1)[offer]
    moved = np.einsum("ij,ij->i", design, effects[np.where(offer == offers, 0, offer)])
    churns = rng.random(len(offer)) < expit(alone + moved * is_reached)
    return RandomisedEpisodes(
        ("past_trial",),
        np.zeros(len(offer), dtype=np.int64),
        offer,
        reach,
        expit(predicted),
        churns,
        signals,
    )


def integrated(episodes: RandomisedEpisodes, priors: EffectPriors, points: int = 61) -> tuple[Floats, Floats]:
    """Return mean and sd of one offer's intercept by summing the posterior over a grid of calibration and effect."""
    spread = np.sqrt(calibration_covariance(1, 1, SETTINGS)[0, 0])
    middle, sd = priors.mean[0, 0], priors.sd[0, 0]
    shift, effect = np.meshgrid(
        np.linspace(-6 * spread, 6 * spread, points),
        np.linspace(middle - 6 * sd, middle + 6 * sd, points),
        indexing="ij",
    )
    density = -0.5 * ((shift / spread) ** 2 + ((effect - middle) / sd) ** 2)
    for row in range(len(episodes.cell)):
        base = logit(episodes.churn_probability[row]) + shift
        share = episodes.reach[episodes.arm[row], 0]
        churns = (1 - share) * expit(base) + share * expit(base + effect)
        density = density + np.log(churns if episodes.has_churned[row] else 1 - churns)
    mass = np.exp(density - density.max())
    mass /= mass.sum()
    mean = (mass * effect).sum()
    return mean, np.sqrt((mass * (effect - mean) ** 2).sum())


@pytest.mark.parametrize(
    ("rows", "sd", "reached", "contaminated"),
    [(40, 0.3, 1.0, 0.0), (200, 0.2, 1.0, 0.0), (200, 0.3, 0.5, 0.0), (300, 0.3, 0.7, 0.2)],
)
def test_posterior_equals_numerical_integration(
    rows: int, sd: float, reached: float, contaminated: float
) -> None:
    priors = beliefs(-0.1, sd=sd)
    rng = np.random.default_rng(rows)
    effects = rng.normal(priors.mean, priors.sd)
    episodes = draw_trial(
        rng, effects, contacted=rows, controls=rows // 2, reached=reached, contaminated=contaminated
    )
    mean, deviation = integrated(episodes, priors)
    found = effect_posterior(episodes, priors, SETTINGS).beliefs
    assert found.mean[0, 0] == pytest.approx(mean, abs=0.015 * deviation)
    assert np.sqrt(found.covariance[0, 0]) == pytest.approx(deviation, rel=0.02)


def mixed_problem() -> LogPosterior:
    """Return two cells, three offers, partly reached arms and a full prior covariance."""
    rng = np.random.default_rng(0)
    cell = rng.integers(0, 2, 60)
    reach = rng.choice([0.0, 0.2, 0.3], (60, 3))
    reach[cell == 0, 2] = 0.0
    rows = rows_of_cells(
        cell, reach, rng.random(60), rng.random(60) < 0.4, rng.choice(SIGNAL_VALUES, (60, 1)), 1e-6
    )
    root = rng.normal(0, 0.3, (10, 10))
    return LogPosterior(rows, Prior.of(rng.normal(0, 0.3, 10), root @ root.T + 0.1 * np.eye(10)), 2, 2)


def test_derivatives_agree_with_differences() -> None:
    problem = mixed_problem()
    at, small = np.random.default_rng(1).normal(0, 0.4, 10), 1e-5
    steps = small * np.eye(10)
    slope = [(problem.log_density(at + s) - problem.log_density(at - s)) / (2 * small) for s in steps]
    assert problem.gradient(at) == pytest.approx(np.array(slope), abs=1e-6)
    curved = [(problem.gradient(at + s) - problem.gradient(at - s)) / (2 * small) for s in steps]
    observed = problem.observed_information(at) + problem.prior.precision
    assert observed == pytest.approx(-np.array(curved), abs=1e-6)
    covariance = np.linalg.inv(problem.expected_information(at) + problem.prior.precision)
    third = [
        (problem.observed_information(at - s) - problem.observed_information(at + s)) / (2 * small)
        for s in steps
    ]
    pull = np.einsum("ijk,jk->i", np.array(third), covariance)
    assert problem.mean_minus_mode(at, covariance) == pytest.approx(0.5 * covariance @ pull, abs=1e-6)


def test_expected_information_is_the_mean_of_the_observed() -> None:
    problem = mixed_problem()
    at = np.random.default_rng(2).normal(0, 0.4, 10)
    total = np.zeros((10, 10))
    for rows in problem.rows:
        for row in range(len(rows.sign)):
            for sign in (1.0, -1.0):
                one = replace(
                    rows,
                    design=rows.design[[row]],
                    log_odds=rows.log_odds[[row]],
                    sign=np.array([sign]),
                    reach=rows.reach[[row]],
                )
                single = LogPosterior([one], problem.prior, 2, 2)
                total += single._derivatives(one, at).q[0] * single.observed_information(at)
    assert problem.expected_information(at) == pytest.approx(total, abs=1e-9)


def test_calibration_is_level_shared_slope_and_own_slope_by_hand() -> None:
    covariance = calibration_covariance(2, 2, SETTINGS)
    level, slope = SETTINGS.calibration_level_sd**2, SETTINGS.calibration_slope_sd**2
    expected = np.array(
        [
            [2 * slope + level, 0, slope, 0],
            [0, 2 * slope, 0, slope],
            [slope, 0, 2 * slope + level, 0],
            [0, slope, 0, 2 * slope],
        ]
    )
    assert covariance == pytest.approx(expected)


def test_without_evidence_the_posterior_is_the_prior_exactly() -> None:
    priors = EffectPriors(
        ("a", "b"), ("s",), np.array([[0.1, -1 / 3], [0.7, 1 / 7]]), np.array([[0.1, 0.3], [1, 2]]), 0.5
    )
    rng = np.random.default_rng(0)
    episodes = draw_trial(rng, np.zeros((2, 2)), contacted=300, controls=100, reached=0.0)
    found = effect_posterior(episodes, priors, SETTINGS)
    assert np.array_equal(found.beliefs.mean, priors.mean)
    assert np.array_equal(found.beliefs.covariance, prior_beliefs(priors).covariance)
    assert not found.beliefs.is_measured.any()
    assert np.abs(found.calibration).max() > 0  # they were left alone, and show that


def test_an_offer_without_evidence_borrows_but_stays_assumed() -> None:
    rng = np.random.default_rng(1)
    episodes = draw_trial(rng, np.array([[0.8, 0.0]]), contacted=3_000, controls=3_000)
    episodes = replace(episodes, reach=np.column_stack([episodes.reach, np.zeros(2)]))
    found = {
        correlation: effect_posterior(
            episodes, beliefs(-0.1, 0.2, sd=0.3, offers=2, correlation=correlation), SETTINGS
        ).beliefs
        for correlation in (0.0, 0.5, 0.9)
    }
    assert found[0.0].mean[1].tolist() == [-0.1, 0.2]
    assert found[0.0].covariance[2:, 2:].tolist() == [[0.09, 0.0], [0.0, 0.09]]
    assert found[0.5].mean[1, 0] > 0.1  # harm seen from one warns of the other
    assert found[0.9].covariance[2, 2] < 0.5 * 0.09  # nearly known, yet from the other offer only
    for each in found.values():
        assert each.is_measured[0].all()
        assert not each.is_measured[1].any()


def test_what_is_borrowed_is_half_of_what_was_learned() -> None:
    """E[b_2 | b_1] = mean_2 + c·sd_2/sd_1·(b_1 − mean_1), exact for normal beliefs."""
    rng = np.random.default_rng(2)
    episodes = draw_trial(rng, np.array([[0.5]]), contacted=5_000, controls=5_000)
    episodes = replace(episodes, reach=np.column_stack([episodes.reach, np.zeros(2)]))
    priors = EffectPriors(("a", "b"), (), np.array([[0.0], [-0.2]]), np.array([[0.4], [0.2]]), 0.5)
    found = effect_posterior(episodes, priors, SETTINGS).beliefs
    assert found.mean[1, 0] == pytest.approx(-0.2 + 0.5 * 0.5 * found.mean[0, 0], abs=1e-6)
    explained = 0.25 * (1 - found.covariance[0, 0] / 0.16)
    assert found.covariance[1, 1] == pytest.approx(0.04 * (1 - explained), rel=1e-6)


def test_a_share_that_was_reached_does_not_make_the_offer_look_weak() -> None:
    priors = beliefs(0.0, sd=1.0)
    rng = np.random.default_rng(2)
    episodes = draw_trial(
        rng, np.array([[-1.0]]), contacted=20_000, controls=20_000, reached=0.5, contaminated=0.2
    )
    assert effect_posterior(episodes, priors, SETTINGS).beliefs.mean[0, 0] == pytest.approx(-1.0, abs=0.2)
    believed = replace(episodes, reach=np.array([[1.0], [0.0]]))
    assert effect_posterior(believed, priors, SETTINGS).beliefs.mean[0, 0] > -0.5


def test_an_error_of_the_churn_model_along_a_signal_is_no_effect() -> None:
    """Pick-holdouts are few: without slopes of its own the calibration would leave the error to the offer."""
    covered = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        episodes = draw_trial(
            rng, np.zeros((1, 3)), contacted=1_500, controls=150, calibration=np.array([0.0, 0.3, 0.0])
        )
        found = effect_posterior(episodes, beliefs(0.0, 0.0, 0.0, sd=0.4), SETTINGS).beliefs
        covered.append(np.abs(found.mean[0]) <= 1.96 * np.sqrt(np.diag(found.covariance)))
    assert np.mean(covered, axis=0).min() >= 0.875  # 35 of 40; a true 95 % fails this once in 300 studies


def test_intervals_cover_effects_drawn_from_the_prior() -> None:
    priors = beliefs(-0.1, -0.2, sd=0.3, offers=2, correlation=0.5)
    factor = np.linalg.cholesky(priors.covariance)
    spread = np.linalg.cholesky(calibration_covariance(1, 2, SETTINGS))
    covered = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        effects = priors.mean + (factor @ rng.normal(size=4)).reshape(2, 2)
        episodes = draw_trial(
            rng, effects, contacted=150, controls=60, calibration=spread @ rng.normal(size=2)
        )
        found = effect_posterior(episodes, priors, SETTINGS).beliefs
        covered.append(np.abs(found.mean - effects).ravel() <= 1.96 * np.sqrt(np.diag(found.covariance)))
    assert 0.92 <= np.mean(covered) <= 0.98


@pytest.mark.parametrize(("churns", "expected_sign"), [(False, -1), (True, 1)])
def test_separation_gives_finite_answers(churns: bool, expected_sign: int) -> None:
    episodes = draw_trial(np.random.default_rng(4), np.zeros((1, 2)), contacted=60, controls=30)
    episodes = replace(episodes, has_churned=np.where(episodes.arm == 0, churns, episodes.has_churned))
    priors = beliefs(0.0, 0.0, sd=1.0)
    found = effect_posterior(episodes, priors, SETTINGS).beliefs
    assert np.sign(found.mean[0, 0]) == expected_sign
    assert np.abs(found.mean).max() < 4
    assert (np.linalg.eigvalsh(found.covariance) > 0).all()
    assert (np.diag(found.covariance) <= 1.0).all()


@pytest.mark.parametrize("end", ["minimum", "maximum"])
def test_every_sd_and_correlation_that_seeds_admit_can_be_computed_with(end: str) -> None:
    sd = getattr(seed_bounds("offer_effect_priors")["sd"], end)
    correlation = getattr(policy_bounds()["offer_effect_correlation"], end)
    priors = beliefs(-0.1, 0.2, sd=sd, offers=6, correlation=correlation)
    episodes = draw_trial(np.random.default_rng(5), np.zeros((6, 2)), contacted=100, controls=100)
    deviations = np.sqrt(np.diag(effect_posterior(episodes, priors, SETTINGS).beliefs.covariance))
    assert (deviations > 0.99e-3).all()
    assert (deviations < 1.01 * sd).all()


def test_certain_probabilities_and_single_rows_are_harmless() -> None:
    priors = beliefs(-0.1, 0.2, sd=0.2)
    for probability in (0.0, 1e-9, 1.0):
        for churned in (True, False):
            row = RandomisedEpisodes(
                ("trial",),
                np.zeros(1, int),
                np.zeros(1, int),
                np.ones((1, 1)),
                np.array([probability]),
                np.array([churned]),
                np.array([[2.0]]),
            )
            found = effect_posterior(row, priors, SETTINGS).beliefs
            assert np.abs(found.mean - priors.mean).max() < 0.2
            assert np.isfinite(found.covariance).all()


def test_evidence_outweighs_the_prior_once_the_variance_is_halved() -> None:
    priors = beliefs(0.0, sd=0.3)
    rng = np.random.default_rng(7)
    few, many = (
        effect_posterior(draw_trial(rng, np.zeros((1, 1)), contacted=n, controls=n), priors, SETTINGS).beliefs
        for n in (40, 2_000)
    )
    assert few.covariance[0, 0] > 0.5 * 0.09 > many.covariance[0, 0]
    assert (few.is_measured[0, 0], many.is_measured[0, 0]) == (False, True)


def test_the_order_of_rows_changes_nothing_and_answers_repeat() -> None:
    episodes = draw_trial(np.random.default_rng(8), np.zeros((2, 2)), contacted=80, controls=80)
    priors = beliefs(-0.1, 0.2, sd=0.3, offers=2, correlation=0.5)
    order = np.random.default_rng(9).permutation(len(episodes.cell))
    shuffled = replace(
        episodes,
        **{
            name: getattr(episodes, name)[order]
            for name in ("cell", "arm", "churn_probability", "has_churned", "signals")
        },
    )
    first, again, other = (
        effect_posterior(each, priors, SETTINGS) for each in (episodes, episodes, shuffled)
    )
    assert np.array_equal(first.beliefs.mean, again.beliefs.mean)
    assert other.beliefs.mean == pytest.approx(first.beliefs.mean, abs=1e-8)


def test_shares_reached_by_hand() -> None:
    """Arm 0 and 1: offer 0 in two months; arm 2: its controls, of whom offer 1 reached one of two."""
    arm = np.array([0, 0, 1, 1, 2, 2])
    assignment = np.array([0, 0, 0, 0, 1, 1])
    reached = np.array([0, -1, -1, -1, 1, -1])
    found = shares_reached(arm, assignment, reached, 2, prior_customers=2.0)
    assert found == pytest.approx(np.array([[(1 + 2 / 4) / 4, 0], [(2 / 4) / 4, 0], [0, (1 + 2 / 2) / 4]]))


def test_impossible_shares_are_refused() -> None:
    episodes = draw_trial(np.random.default_rng(0), np.zeros((2, 1)), contacted=5, controls=5)
    with pytest.raises(BayesPilotError, match="sum of the shares reached"):
        effect_posterior(
            replace(episodes, reach=np.full((3, 2), 0.6)), beliefs(0.0, sd=0.3, offers=2), SETTINGS
        )
    with pytest.raises(BayesPilotError, match="reason signal"):
        effect_posterior(
            replace(episodes, signals=np.full((15, 1), np.nan)), beliefs(0.0, 0.0, sd=0.3, offers=2), SETTINGS
        )


@pytest.mark.parametrize(
    ("old", "new"),
    [("= 0.3 ", "= 0 "), ("calibration_level_sd", "calibration_level_sds"), ("= 0.2 ", '= "0.2" ')],
)
def test_a_wrong_setting_is_named(tmp_path: Path, old: str, new: str) -> None:
    wrong = tmp_path / "effect_settings.toml"
    wrong.write_text(SETTINGS_FILE.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(BayesPilotError, match=r"effects\.(calibration_slope_sd|calibration_level_sd)"):
        load_settings(wrong)
