"""Expectation over uncertain effects, values with costs of the customer's own, and the interval of a plan."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from models_ml.decisions import optimism
from models_ml.decisions.done_value import Contacts, drawn_effects, plan_value_interval
from models_ml.decisions.economics import Costs, value_offers
from models_ml.decisions.offer_beliefs import (
    AcceptanceModel,
    EffectBeliefs,
    acceptance_probability,
    drawn_errors,
    effect_moments,
    expected_relative_risk,
)
from models_ml.decisions.optimism import ChosenContacts, selection_optimism
from models_ml.decisions.settings import PlanValueSettings, load_settings
from models_ml.errors import BayesPilotError

DRAWS = load_settings().plan_value
FREE = Costs(np.zeros(1), np.zeros(1), np.zeros(1))


def one_offer(mean: float, sd: float) -> EffectBeliefs:
    return EffectBeliefs(("call",), (), np.array([[mean]]), np.array([[sd**2]]), np.zeros((1, 1), dtype=bool))


def some_beliefs(rng: np.random.Generator, offers: int = 3, signals: int = 2) -> EffectBeliefs:
    size = offers * (1 + signals)
    root = rng.normal(0, 0.15, (size, size))
    return EffectBeliefs(
        tuple(f"offer_{each}" for each in range(offers)),
        tuple(f"signal_{each}" for each in range(signals)),
        rng.normal(-0.1, 0.3, (offers, 1 + signals)),
        root @ root.T,
        np.zeros((offers, 1 + signals), dtype=bool),
    )


@pytest.mark.parametrize(("sd", "error"), [(0.05, 1e-9), (0.4, 1e-6), (1.0, 1e-4), (1.5, 1e-3)])
@pytest.mark.parametrize("probability", [0.001, 0.05, 0.4, 0.95])
def test_seven_nodes_equal_a_fine_integral(probability: float, sd: float, error: float) -> None:
    x = np.linspace(-9, 9, 20_001)
    density = np.exp(-0.5 * x**2)
    expected = (density * expit(logit(probability) - 0.2 + sd * x)).sum() / density.sum()
    found = expected_relative_risk(np.array([probability]), np.empty((1, 0)), one_offer(-0.2, sd))[0, 0]
    assert probability * found == pytest.approx(expected, rel=error)


def test_moments_are_those_of_draws() -> None:
    rng = np.random.default_rng(0)
    beliefs = some_beliefs(rng)
    signals = np.array([[0.0, 0.0], [1.0, 0.5], [2.0, 2.0]])
    draws = rng.multivariate_normal(beliefs.mean.ravel(), beliefs.covariance, 200_000).reshape(-1, 3, 3)
    effects = np.einsum("dkj,nj->dnk", draws, np.column_stack([np.ones(3), signals]))
    mean, sd = effect_moments(signals, beliefs)
    assert mean == pytest.approx(effects.mean(axis=0), abs=0.01)
    assert sd == pytest.approx(effects.std(axis=0), rel=0.01)


def test_uncertainty_moves_rare_risks_up_and_large_ones_down() -> None:
    known, unknown = one_offer(0.0, 0.0), one_offer(0.0, 1.0)
    risks = np.array([0.02, 0.98])
    assert expected_relative_risk(risks, np.empty((2, 0)), known).ravel() == pytest.approx([1.0, 1.0])
    low, high = expected_relative_risk(risks, np.empty((2, 0)), unknown).ravel()
    assert low > 1.3
    assert high < 1.0


@pytest.mark.parametrize("mean", [-1e6, 1e6])
@pytest.mark.parametrize("sd", [0.0, 1e3])
def test_extreme_effects_stay_finite(mean: float, sd: float) -> None:
    risk = expected_relative_risk(np.array([0.0, 0.3, 1.0]), np.empty((3, 0)), one_offer(mean, sd))
    assert np.isfinite(risk).all()
    assert risk[2, 0] == pytest.approx(1.0)
    assert 0 <= 0.3 * risk[1, 0] <= 1 + 1e-12


def test_value_by_hand() -> None:
    """Half of the odds at 1/2 is 1/3: (1/2 − 1/3)·300 = 50 kept; costs differ by customer."""
    beliefs = one_offer(float(np.log(0.5)), 0.0)
    costs = Costs(np.array([[2.0], [0.0]]), np.array([[40.0], [10.0]]), np.array([[0.25], [0.5]]))
    found = value_offers([0.5, 0.5], [300.0, 600.0], np.empty((2, 0)), costs=costs, beliefs=beliefs)
    assert found.expected_value.ravel() == pytest.approx([50 - 2 - 10, 100 - 5])
    assert found.expected_cost.ravel().tolist() == [12.0, 5.0]
    assert found.relative_risk.ravel() == pytest.approx([2 / 3, 2 / 3])


def test_a_customer_without_risk_or_value_costs_only() -> None:
    costs = Costs(np.array([1.0]), np.array([2.0]), np.array([0.5]))
    found = value_offers(
        [0.0, 1.0, 0.5], [50.0, 50.0, 0.0], np.empty((3, 0)), costs=costs, beliefs=one_offer(-0.7, 0.3)
    )
    assert found.expected_value.ravel() == pytest.approx([-2.0] * 3)


@given(st.integers(0, 10**6), st.sampled_from([1, 5, 13]))
def test_numbers_do_not_depend_on_the_batch(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    beliefs = some_beliefs(rng)
    risk, signals = rng.random(20), rng.random((20, 2)) * 2
    whole = expected_relative_risk(risk, signals, beliefs)
    parts = [
        expected_relative_risk(risk[at : at + size], signals[at : at + size], beliefs)
        for at in range(0, 20, size)
    ]
    assert np.array_equal(whole, np.concatenate(parts))


@given(st.floats(0.001, 0.999), st.floats(-2, 2), st.floats(0, 1), st.floats(0.01, 5))
def test_a_stronger_effect_is_worth_more(risk: float, mean: float, sd: float, stronger: float) -> None:
    def value(effect: float) -> float:
        found = value_offers([risk], [100.0], np.empty((1, 0)), costs=FREE, beliefs=one_offer(effect, sd))
        return float(found.expected_value[0, 0])

    assert value(mean - stronger) > value(mean)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"churn_probability": [1.1]}, "churn_probability"),
        ({"customer_value": [-1.0]}, "customer_value"),
        ({"signals": [[np.nan]]}, "reason signal"),
        ({"costs": replace(FREE, contact=np.array([np.nan]))}, "contact_cost"),
        ({"costs": replace(FREE, acceptance=np.array([1.5]))}, "acceptance"),
    ],
)
def test_what_is_missing_or_impossible_is_refused(wrong: dict[str, object], message: str) -> None:
    beliefs = EffectBeliefs(("a",), ("s",), np.zeros((1, 2)), np.eye(2), np.zeros((1, 2), dtype=bool))
    given_values = {"churn_probability": [0.5], "customer_value": [1.0], "signals": [[0.0]], "costs": FREE}
    with pytest.raises(BayesPilotError, match=message):
        value_offers(**{**given_values, **wrong}, beliefs=beliefs)


def test_a_million_customers_and_four_offers_take_seconds_and_little_memory() -> None:
    rng = np.random.default_rng(1)
    n = 1_000_000
    beliefs = some_beliefs(rng, offers=4, signals=6)
    risk, worth, signals = rng.random(n), rng.random(n), rng.random((n, 6))
    costs = Costs(np.full(4, 1.0), np.full(4, 2.0), np.full(4, 0.3))
    tracemalloc.start()
    start = time.process_time()
    value_offers(risk, worth, signals, costs=costs, beliefs=beliefs)
    seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 5
    assert peak < 300e6


def planned(rng: np.random.Generator, contacts: int, offers: int = 3) -> Contacts:
    return Contacts(
        rng.integers(0, offers, contacts),
        rng.beta(1, 8, contacts),
        rng.uniform(50, 500, contacts),
        rng.uniform(0, 5, contacts),
        rng.random((contacts, 2)) * 2,
    )


def test_expected_worth_of_a_plan_is_the_sum_of_its_values() -> None:
    rng = np.random.default_rng(2)
    beliefs, contacts = some_beliefs(rng), planned(rng, 300)
    found = plan_value_interval(
        contacts, beliefs, share=0.8, shift_sd=0.0, settings=PlanValueSettings(20_000, 1, 0.1, 1)
    )
    costs = Costs(np.zeros(3), np.zeros(3), np.zeros(3))
    values = value_offers(
        contacts.churn_probability, contacts.customer_value, contacts.signals, costs=costs, beliefs=beliefs
    ).expected_value[np.arange(300), contacts.offer]
    assert found.expected == pytest.approx(
        (values - contacts.expected_cost).sum(), abs=0.01 * values.std() * 300
    )
    assert found.low < found.expected < found.high


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        beliefs, contacts = some_beliefs(rng), planned(rng, 60)
        truth = rng.multivariate_normal(beliefs.mean.ravel(), beliefs.covariance).reshape(3, 3)
        known = replace(beliefs, mean=truth, covariance=np.zeros((9, 9)))
        worth = plan_value_interval(
            contacts, known, share=0.8, shift_sd=0.0, settings=PlanValueSettings(2, 1, 0.1, 1)
        ).expected
        found = plan_value_interval(contacts, beliefs, share=0.8, shift_sd=0.0, settings=DRAWS)
        covered += found.low <= worth <= found.high
    assert 0.74 <= covered / 200 <= 0.86


def test_correlated_effects_widen_the_interval_and_doubt_about_risks_too() -> None:
    rng = np.random.default_rng(4)
    contacts = planned(rng, 200)
    beliefs = some_beliefs(rng)
    variance = 0.04 * np.eye(9)
    together = np.kron(np.full((3, 3), 0.02), np.eye(3)) + 0.02 * np.eye(9)

    def width(covariance: np.ndarray, shift_sd: float = 0.0) -> float:
        found = plan_value_interval(
            contacts, replace(beliefs, covariance=covariance), share=0.8, shift_sd=shift_sd, settings=DRAWS
        )
        return found.high - found.low

    assert width(together) > 1.2 * width(variance)
    assert width(variance, shift_sd=0.3) > width(variance)


def test_a_plan_that_chooses_by_noisy_means_is_not_worth_the_sum_of_its_values() -> None:
    rng = np.random.default_rng(6)
    customers, offers, cost = 300, 4, 3.0
    alone, value = rng.beta(1, 8, customers), rng.uniform(50, 500, customers)
    signals, rows = rng.random((customers, 2)) * 2, np.arange(customers)
    truth = np.concatenate([np.full((offers, 1), -0.1), rng.normal(-0.1, 0.1, (offers, 2))], axis=1)
    sd = 0.1
    claimed = corrected = true = 0.0
    for seed in range(60):
        mean = truth + np.random.default_rng(seed).normal(0.0, sd, truth.shape)
        beliefs = EffectBeliefs(
            tuple("abcd"), ("x", "y"), mean, sd**2 * np.eye(truth.size), np.zeros(truth.shape, bool)
        )
        risk = expected_relative_risk(alone, signals, beliefs)
        net = alone[:, None] * (1 - risk) * value[:, None] - cost
        offer = net.argmax(axis=1)
        chosen = rows[net.max(axis=1) > 0]
        under = alone[:, None] * risk
        contacts = ChosenContacts(
            net[chosen],
            (-under * (1 - under) * value[:, None])[chosen],
            signals[chosen],
            cost_per_acceptance=np.zeros((len(chosen), offers)),
            features=np.empty((len(chosen), 0)),
            money_price=0.0,
        )
        effects, _ = drawn_effects(beliefs, 100, seed=1)
        optimism_of = selection_optimism(contacts, effects - mean, np.zeros((len(effects), offers, 1)))
        claimed += net[chosen, offer[chosen]].sum()
        corrected += net[chosen, offer[chosen]].sum() - optimism_of.value
        known = replace(beliefs, mean=truth, covariance=np.zeros_like(beliefs.covariance))
        really = alone[:, None] * (1 - expected_relative_risk(alone, signals, known)) * value[:, None] - cost
        true += really[chosen, offer[chosen]].sum()
    assert claimed / true > 1.25
    assert 0.85 < corrected / true < 1.15


def test_a_plan_that_chooses_by_noisy_acceptance_costs_more_than_the_sum_of_its_costs() -> None:
    """Equal effects and incentives: offers are chosen where few are believed to accept."""
    rng = np.random.default_rng(8)
    customers, offers, gain, incentive, price = 300, 4, 6.0, 20.0, 0.5
    features, rows = rng.random((customers, 2)) * 2, np.arange(customers)
    truth = np.concatenate([np.full((offers, 1), -1.2), rng.normal(0.2, 0.2, (offers, 2))], axis=1)
    centre, sd = np.tile(features.mean(axis=0), (offers, 1)), np.full(truth.shape, 0.25)
    none = ("a", "b", "c", "d"), ("x", "y")
    known = AcceptanceModel(*none, truth, centre, np.zeros_like(sd), np.zeros(offers, bool))
    true_cost = incentive * acceptance_probability(features, known)
    claimed = corrected = true = value_claimed = value_corrected = value_true = 0.0
    for seed in range(60):
        drawn = truth + np.random.default_rng(seed).normal(0.0, sd)
        model = AcceptanceModel(*none, drawn, centre, sd, np.zeros(offers, bool))
        accepts = acceptance_probability(features, model)
        net = gain - (1 + price) * incentive * accepts
        offer, chosen = net.argmax(axis=1), rows[net.max(axis=1) > 0]
        contacts = ChosenContacts(
            net[chosen],
            np.zeros((len(chosen), offers)),
            np.empty((len(chosen), 0)),
            (incentive * accepts * (1 - accepts))[chosen],
            features[chosen],
            price,
        )
        found = selection_optimism(contacts, np.zeros((200, offers, 1)), drawn_errors(model, 200, seed=1))
        cost = (incentive * accepts)[chosen, offer[chosen]]
        claimed += cost.sum()
        corrected += cost.sum() + found.cost
        true += true_cost[chosen, offer[chosen]].sum()
        value_claimed += (gain - cost).sum()
        value_corrected += (gain - cost).sum() - found.value
        value_true += (gain - true_cost[chosen, offer[chosen]]).sum()
    assert claimed / true < 0.9
    assert 0.5 * (1 + claimed / true) < corrected / true < 1.05
    assert value_claimed / value_true > 1.1
    assert 0.95 < value_corrected / value_true < 0.5 * (1 + value_claimed / value_true)


def test_optimism_does_not_depend_on_batches_and_is_never_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    rows, features = (50, 3), rng.random((50, 2))
    contacts = ChosenContacts(
        rng.normal(1, 2, rows), -rng.random(rows), features, rng.random(rows), features, 0.3
    )
    effects, _ = drawn_effects(some_beliefs(rng), 40, seed=2)
    accepts = rng.normal(0.0, 0.3, effects.shape)
    errors = effects, np.concatenate([accepts, -accepts])[: len(effects)]
    whole = selection_optimism(contacts, *errors)
    monkeypatch.setattr(optimism, "BATCH_ROWS", 7)
    again = selection_optimism(contacts, *errors)
    assert (again.value, again.cost) == pytest.approx((whole.value, whole.cost), abs=1e-9)
    assert whole.value > 0.0
    assert whole.cost > 0.0
    none, no_feature = np.empty((0, 3)), np.empty((0, 2))
    nobody = ChosenContacts(none, none, no_feature, none, no_feature, 0.3)
    assert selection_optimism(nobody, *errors) == optimism.Optimism(0.0, 0.0)


def test_no_contacts_are_worth_nothing_and_answers_repeat() -> None:
    rng = np.random.default_rng(5)
    beliefs = some_beliefs(rng)
    none = plan_value_interval(planned(rng, 0), beliefs, share=0.8, shift_sd=0.2, settings=DRAWS)
    assert (none.low, none.expected, none.high) == (0.0, 0.0, 0.0)
    contacts = planned(rng, 50)
    first, second = (
        plan_value_interval(contacts, beliefs, share=0.8, shift_sd=0.2, settings=DRAWS) for _ in range(2)
    )
    assert first == second
