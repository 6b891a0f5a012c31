"""Trials ask where something is at stake and unknown, fit their budget, and fade as effects become known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models_ml.decisions.limits import Limits
from models_ml.decisions.offer_beliefs import EffectBeliefs, effect_moments
from models_ml.decisions.settings import SETTINGS_FILE, TrialSettings, load_settings
from models_ml.decisions.trial import Trial, TrialCandidates, arm_probabilities, trial_inclusion
from models_ml.errors import BayesPilotError

SETTINGS = load_settings().trial
CHANNELS = ("email", "email", "phone")
ROOMY = Limits(1e9, np.full(3, 1e9), {"email": 1e9, "phone": 1e9}, CHANNELS)


def unknown(sd: float = 0.4) -> EffectBeliefs:
    """Return flat beliefs about three offers and one signal."""
    variance = np.tile([0.3**2, sd**2], 3)
    return EffectBeliefs(
        ("nudge", "discount", "call"), ("pain",), np.zeros((3, 2)), np.diag(variance), np.zeros((3, 2), bool)
    )


def population(rng: np.random.Generator, customers: int) -> TrialCandidates:
    risk, worth = rng.beta(1, 12, customers), rng.gamma(2, 150, customers)
    return TrialCandidates(
        risk,
        worth,
        effect_moments(rng.choice([0.0, 0.0, 1.0, 2.0], (customers, 1)), unknown())[1],
        np.column_stack([np.full(customers, 0.25), rng.uniform(5, 30, customers), np.full(customers, 12.0)]),
        rng.random((customers, 3)) < 0.8,
    )


def draw(candidates: TrialCandidates, limits: Limits, seed: int) -> Trial:
    rng = np.random.default_rng(seed)
    n = len(candidates.churn_probability)
    return trial_inclusion(candidates, limits, rng.random(n), rng.random(n), SETTINGS)


def expected_use(trial: Trial, candidates: TrialCandidates) -> tuple[float, np.ndarray]:
    offers = trial.inclusion_probability[:, None] * trial.arm_probability[:, :-1]
    return float((offers * candidates.expected_cost).sum()), offers.sum(axis=0)


def test_expected_cost_fills_the_budget() -> None:
    candidates = population(np.random.default_rng(0), 4_000)
    cost, _ = expected_use(draw(candidates, replace(ROOMY, budget=300.0), 1), candidates)
    assert cost == pytest.approx(300.0, rel=1e-9)


@pytest.mark.parametrize(
    ("scarce", "room"),
    [
        (replace(ROOMY, budget=300.0, offer_capacity=np.array([1e9, 1e9, 2.0])), 2.0),
        (replace(ROOMY, budget=300.0, channel_capacity={"email": 1e9, "phone": 2.0}), 2.0),
    ],
)
def test_a_scarce_offer_does_not_hold_back_the_trial_of_the_others(scarce: Limits, room: float) -> None:
    candidates = population(np.random.default_rng(0), 4_000)
    roomy_cost, roomy = expected_use(draw(candidates, replace(ROOMY, budget=300.0), 1), candidates)
    trial = draw(candidates, scarce, 1)
    cost, contacts = expected_use(trial, candidates)
    assert roomy[2] > 3 * room
    assert 0.5 * room < contacts[2] <= room * (1 + 1e-9)
    assert contacts[:2].sum() > roomy[:2].sum()
    assert cost > 0.7 * roomy_cost
    still = trial.arm_probability[:, 2] > 0
    says = candidates.churn_probability * (1 - candidates.churn_probability) * candidates.customer_value
    says = says * candidates.effect_sd[:, 2]
    assert says[still].min() >= says[~still & candidates.allowed[:, 2]].max()


def test_two_scarce_offers_leave_the_money_to_the_third() -> None:
    candidates = population(np.random.default_rng(0), 4_000)
    scarce = replace(ROOMY, budget=2_000.0, offer_capacity=np.array([5.0, 1e9, 5.0]))
    cost, contacts = expected_use(draw(candidates, scarce, 1), candidates)
    assert cost > 0.95 * 2_000.0
    assert contacts[[0, 2]].max() <= 5.0 * (1 + 1e-9)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.floats(0, 2000), st.floats(0, 50), st.floats(0, 50))
def test_no_limit_is_exceeded_neither_expected_nor_done(
    seed: int, budget: float, calls: float, mails: float
) -> None:
    rng = np.random.default_rng(seed)
    candidates = population(rng, 300)
    limits = Limits(budget, np.array([1e9, 20.0, calls]), {"email": mails, "phone": 1e9}, CHANNELS)
    trial = draw(candidates, limits, seed)
    cost, contacts = expected_use(trial, candidates)
    assert cost <= budget * (1 + 1e-9) + 1e-9
    assert contacts[2] <= calls * (1 + 1e-9) + 1e-9
    assert contacts[0] + contacts[1] <= mails * (1 + 1e-9) + 1e-9
    done = (trial.assigned >= 0) & ~trial.is_withdrawn
    rows = np.flatnonzero(done)
    assert candidates.expected_cost[rows, trial.assigned[rows]].sum() <= budget + 1e-6
    assert (trial.assigned[rows] == 2).sum() <= calls
    assert (trial.assigned[rows] < 2).sum() <= mails


def test_inclusion_is_in_proportion_to_what_is_at_stake_and_unknown() -> None:
    candidates = population(np.random.default_rng(2), 3_000)
    trial = draw(candidates, replace(ROOMY, budget=50.0), 3)
    sd = np.where(candidates.allowed, candidates.effect_sd, 0.0).max(axis=1)
    risk = candidates.churn_probability
    weight = risk * (1 - risk) * candidates.customer_value * sd
    free = trial.inclusion_probability < 1
    ratio = trial.inclusion_probability[free & (weight > 0)] / weight[free & (weight > 0)]
    assert ratio == pytest.approx(np.full(len(ratio), ratio[0]))
    assert (trial.inclusion_probability[weight == 0] == 0).all()


def test_a_large_budget_includes_all_and_needs_no_more() -> None:
    candidates = population(np.random.default_rng(4), 500)
    trial = draw(candidates, ROOMY, 5)
    possible = candidates.allowed.any(axis=1)
    assert trial.inclusion_probability[possible] == pytest.approx(np.ones(possible.sum()))
    assert trial.is_included.sum() == possible.sum()


def test_it_fades_as_effects_become_known() -> None:
    candidates = population(np.random.default_rng(6), 4_000)
    limits = replace(ROOMY, budget=200.0)
    costs = []
    for share in (1.0, 0.5, 0.1, 0.0):
        known = replace(candidates, effect_sd=candidates.effect_sd * share)
        costs.append(expected_use(draw(known, limits, 7), known)[0])
    assert costs[0] == pytest.approx(200.0)
    assert costs[0] > costs[1] > costs[2] > costs[3] == 0.0
    assert costs[2] == pytest.approx(0.2**2 * costs[1], rel=1e-6)  # with the square, once below full use


def test_everything_allowed_has_the_smallest_share_and_nothing_the_largest() -> None:
    candidates = population(np.random.default_rng(8), 200)
    sd = candidates.effect_sd
    arms = arm_probabilities(sd, candidates.expected_cost, candidates.allowed, SETTINGS.smallest_share)
    possible = candidates.allowed.any(axis=1)
    assert arms[possible].sum(axis=1) == pytest.approx(np.ones(possible.sum()))
    assert (arms[~possible] == 0).all()
    assert arms[:, :-1][candidates.allowed].min() >= SETTINGS.smallest_share
    assert (arms[:, :-1][~candidates.allowed] == 0).all()
    assert (arms[possible, -1] >= arms[possible, :-1].max(axis=1) - 1e-12).all()


def test_assignments_follow_the_logged_propensities() -> None:
    n = 40_000
    candidates = TrialCandidates(
        np.full(n, 0.3), np.full(n, 100.0), np.full((n, 3), 0.5), np.tile([0.25, 20.0, 12.0], (n, 1)),
        np.tile([True, False, True], (n, 1)),
    )  # fmt: skip
    trial = draw(candidates, ROOMY, 9)
    for arm in (-1, 0, 2):
        share = (trial.assigned == arm).mean()
        assert share == pytest.approx(trial.arm_probability[0, arm], abs=0.01)
    assert not (trial.assigned == 1).any()
    assert np.mean(1 / trial.propensity) == pytest.approx(3.0, rel=0.02)  # Σ over three arms of P / P
    assert trial.propensity_no_action.tolist() == [trial.arm_probability[0, -1]] * n


def test_an_overrun_keeps_its_arm() -> None:
    candidates = population(np.random.default_rng(10), 2_000)
    limits = replace(ROOMY, budget=60.0)
    overrun = [trial for seed in range(20) if (trial := draw(candidates, limits, seed)).is_withdrawn.any()]
    assert overrun
    for trial in overrun:
        assert (trial.assigned[trial.is_withdrawn] >= 0).all()
        assert trial.is_included[trial.is_withdrawn].all()


def test_too_many_offers_for_the_smallest_share_are_refused() -> None:
    with pytest.raises(BayesPilotError, match="20 offers are too many"):
        arm_probabilities(np.ones((1, 20)), np.ones((1, 20)), np.ones((1, 20), bool), 0.05)


def test_the_order_of_customers_changes_nothing() -> None:
    candidates = population(np.random.default_rng(11), 300)
    rng = np.random.default_rng(12)
    include, offer, order = rng.random(300), rng.random(300), rng.permutation(300)
    limits = replace(ROOMY, budget=80.0)
    first = trial_inclusion(candidates, limits, include, offer, SETTINGS)
    shuffled = TrialCandidates(
        *(
            getattr(candidates, name)[order]
            for name in ("churn_probability", "customer_value", "effect_sd", "expected_cost", "allowed")
        )
    )
    second = trial_inclusion(shuffled, limits, include[order], offer[order], SETTINGS)
    assert second.is_included.tolist() == first.is_included[order].tolist()
    assert second.assigned.tolist() == first.assigned[order].tolist()
    assert second.is_withdrawn.tolist() == first.is_withdrawn[order].tolist()


def test_nothing_unknown_or_nobody_allowed_is_no_trial() -> None:
    candidates = population(np.random.default_rng(13), 50)
    forbidden = replace(candidates, allowed=np.zeros((50, 3), bool))
    assert not draw(forbidden, ROOMY, 1).is_included.any()
    assert trial_inclusion(
        TrialCandidates(np.empty(0), np.empty(0), np.empty((0, 3)), np.empty((0, 3)), np.empty((0, 3), bool)),
        ROOMY, np.empty(0), np.empty(0), TrialSettings(0.05, 0.3),
    ).assigned.tolist() == []  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("smallest_share = 0.05", "smallest_share = -1", "trial.smallest_share"),
        ("smallest_share = 0.05", "", "trial.smallest_share"),
        ("draws = 1000", "draws = 10.5", "plan_value.draws"),
        ("[trial]", "[trials]", "trial is missing, trials is unknown"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, old: str, new: str, named: str) -> None:
    wrong = tmp_path / "settings.toml"
    wrong.write_text(SETTINGS_FILE.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(BayesPilotError, match=named):
        load_settings(wrong)
