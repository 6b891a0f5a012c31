"""Acceptance by a logistic model with a prior: the seed without contacts, calibrated totals with them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from models_ml.decisions.offer_beliefs import acceptance_probability
from models_ml.effects.acceptance_model import AcceptancePriors, ContactOutcomes, fit_acceptance
from models_ml.effects.effect_settings import load_settings
from models_ml.errors import BayesPilotError

_, SETTINGS = load_settings()
MEASURED_BELOW = 0.5


def priors(
    *rates: float,
    features: int,
    effect: np.ndarray | None = None,
    believed: dict[tuple[int, int], tuple[float, float]] | None = None,
) -> AcceptancePriors:
    """Return priors; `believed` holds mean and sd of slopes by offer and feature."""
    names = tuple(f"offer_{number}" for number in range(len(rates)))
    nothing = np.zeros((len(rates), features))
    mean, sd = nothing.copy(), np.full_like(nothing, np.nan)
    for at, (of_slope, sd_of_slope) in (believed or {}).items():
        mean[at], sd[at] = of_slope, sd_of_slope
    return AcceptancePriors(
        names, np.array(rates), np.full(len(rates), 0.3), nothing if effect is None else effect, mean, sd
    )


def contacts(rng: np.random.Generator, log_odds: np.ndarray, count: int) -> ContactOutcomes:
    """Draw contacts, `count` per offer, of customers with features 0 to 2."""
    offers, width = log_odds.shape
    offer = np.repeat(np.arange(offers), count)
    features = rng.random((len(offer), width - 1)) * 2
    chance = expit(log_odds[offer, 0] + (features * log_odds[offer, 1:]).sum(axis=1))
    return ContactOutcomes(offer, features, rng.random(len(offer)) < chance)


def test_without_contacts_everybody_accepts_at_the_rate_of_the_seed() -> None:
    none = ContactOutcomes(np.empty(0, int), np.empty((0, 2)), np.empty(0, bool))
    model = fit_acceptance(none, priors(0.28, 0.0, 1.0, features=2), ("a", "b"), SETTINGS, MEASURED_BELOW)
    rates = acceptance_probability(np.array([[0.0, 0.0], [2.0, 1.0]]), model)
    assert rates[0] == pytest.approx([0.28, 0.0, 1.0], abs=1e-12)
    assert rates[:, 1:].tolist() == [[0.0, 1.0]] * 2
    assert not model.is_measured.any()
    # Whoever shows signals may accept more often or less: each slope of sd √(0.3² + 0.2²), averaged over 10⁵ draws.
    log_odds = logit(0.28) + np.random.default_rng(5).normal(0.0, np.sqrt(0.13 * (2**2 + 1)), 100_000)
    assert rates[1, 0] == pytest.approx(expit(log_odds).mean(), abs=0.003)


def test_a_rate_of_nothing_or_all_is_certain_whatever_is_observed() -> None:
    outcomes = ContactOutcomes(np.zeros(40, int), np.ones((40, 1)), np.arange(40) < 20)
    model = fit_acceptance(outcomes, priors(0.0, 0.3, features=1), ("a",), SETTINGS, MEASURED_BELOW)
    assert acceptance_probability(np.array([[2.0]]), model)[0, 0] == 0.0


def test_slopes_are_found_and_totals_hold() -> None:
    truth = np.array([[-1.5, 0.8, -0.4], [-0.5, 0.2, 0.3]])
    rng = np.random.default_rng(1)
    model = fit_acceptance(
        contacts(rng, truth, 4_000), priors(0.2, 0.2, features=2), ("a", "b"), SETTINGS, MEASURED_BELOW
    )
    assert model.log_odds[:, 1:] == pytest.approx(truth[:, 1:], abs=0.15)
    fresh = contacts(rng, truth, 4_000)
    found = acceptance_probability(fresh.features, model)
    for offer in range(2):
        mine = fresh.offer == offer
        assert found[mine, offer].sum() == pytest.approx(fresh.has_accepted[mine].sum(), rel=0.06)
    assert model.is_measured.all()


def test_few_contacts_move_a_rate_part_of_the_way() -> None:
    """Ten of ten accept: the mode solves 10·(1 − q) = (logit q − logit 0.25)/0.3²."""
    outcomes = ContactOutcomes(np.zeros(10, int), np.empty((10, 0)), np.ones(10, bool))
    model = fit_acceptance(outcomes, priors(0.25, features=0), (), SETTINGS, MEASURED_BELOW)
    q = acceptance_probability(np.empty((1, 0)), model)[0, 0]
    assert 10 * (1 - q) == pytest.approx((logit(q) - logit(0.25)) / 0.09, abs=1e-6)
    assert model.sd[0, 0] == pytest.approx((1 / 0.09 + 10 * q * (1 - q)) ** -0.5)


def test_an_offer_without_contacts_borrows_slopes_but_not_the_rate() -> None:
    truth = np.array([[-1.0, 1.0]])
    seen = contacts(np.random.default_rng(2), truth, 2_000)
    model = fit_acceptance(seen, priors(0.2, 0.4, features=1), ("a",), SETTINGS, MEASURED_BELOW)
    assert model.log_odds[1, 0] == pytest.approx(logit(0.4))
    assert 0.3 < model.log_odds[1, 1] < model.log_odds[0, 1]
    assert model.is_measured.tolist() == [True, False]


def test_the_rate_is_that_of_the_customers_contacted() -> None:
    """The seed's rate is that of customers contacted so far: they show more of the signal than others."""
    seen = ContactOutcomes(
        np.zeros(4, int), np.array([[1.0], [2.0], [1.0], [2.0]]), np.array([1, 0, 0, 0], bool)
    )
    model = fit_acceptance(seen, priors(0.25, features=1), ("a",), SETTINGS, MEASURED_BELOW)
    assert model.centre.tolist() == [[1.5]]
    assert acceptance_probability(np.array([[1.5]]), model)[0, 0] == pytest.approx(0.25, abs=0.005)


def test_whom_an_offer_helps_accepts_more_often_learned_from_all_offers_together() -> None:
    """Each offer helps against a signal of its own; few accept of each, but all of them show the same pattern."""
    effect = -0.5 * np.eye(5)
    truth = np.column_stack([np.full(5, -1.5), -1.2 * effect])
    believed, unaware = (
        fit_acceptance(
            contacts(np.random.default_rng(3), truth, 150),
            priors(*[0.3] * 5, features=5, effect=known),
            tuple("abcde"),
            SETTINGS,
            MEASURED_BELOW,
        )
        for known in (effect, 0.0 * effect)
    )
    addressed = np.arange(5), 1 + np.arange(5)
    assert believed.log_odds[addressed].mean() == pytest.approx(0.6, abs=0.12)
    assert unaware.log_odds[addressed].mean() < 0.75 * believed.log_odds[addressed].mean()
    helped = 2.0 * np.eye(5)
    expected = expit(truth[:, 0] + 2.0 * 0.6)
    found = acceptance_probability(helped, believed)[np.arange(5), np.arange(5)]
    assert found.mean() == pytest.approx(expected.mean(), rel=0.15)


def test_a_believed_slope_stands_until_contacts_correct_it() -> None:
    none = ContactOutcomes(np.empty(0, int), np.empty((0, 2)), np.empty(0, bool))
    believed = priors(0.3, 0.3, features=2, believed={(0, 1): (0.6, 0.2)})
    model = fit_acceptance(none, believed, ("a", "b"), SETTINGS, MEASURED_BELOW)
    assert model.log_odds[:, 1:].tolist() == [[0.0, 0.6], [0.0, 0.0]]
    truth = np.array([[-1.0, 0.0, -0.5], [-1.0, 0.0, -0.5]])
    few, many = (
        fit_acceptance(
            contacts(np.random.default_rng(4), truth, count), believed, ("a", "b"), SETTINGS, MEASURED_BELOW
        )
        for count in (30, 4_000)
    )
    assert 0.2 < few.log_odds[0, 2] < 0.6
    assert many.log_odds[:, 2] == pytest.approx([-0.5, -0.5], abs=0.15)


def test_what_is_believed_of_a_slope_is_not_learned_from_other_offers() -> None:
    truth = np.array([[-1.0, 1.0]])
    seen = contacts(np.random.default_rng(2), truth, 2_000)
    believed = priors(0.2, 0.4, features=1, believed={(1, 0): (-0.3, 0.1)})
    model = fit_acceptance(seen, believed, ("a",), SETTINGS, MEASURED_BELOW)
    assert model.log_odds[1, 1] == pytest.approx(-0.3)


def test_a_missing_feature_is_named() -> None:
    seen = ContactOutcomes(np.zeros(1, int), np.array([[1.0, np.nan]]), np.ones(1, bool))
    with pytest.raises(BayesPilotError, match="pain"):
        fit_acceptance(seen, priors(0.25, features=2), ("late", "pain"), SETTINGS, MEASURED_BELOW)
