"""Holdouts and trials: their members, what they get, and the propensities that are logged."""

from __future__ import annotations

import numpy as np
import pytest
from decision_data import limits, policy
from hypothesis import given, settings
from hypothesis import strategies as st

from models_ml.decisions.randomisation import (
    NOT_CHOSEN,
    PICK_HOLDOUT,
    POLICY,
    SUPPRESSED,
    TRIAL,
    UNIVERSAL_HOLDOUT,
    admit_trial,
    assign_trial,
    first_arms,
    propensities,
    withhold,
)

EVERYTHING = np.array([[True, True]])


def arm(universal: float, trial: float, *, suppressed: bool = False, plausible: bool = True) -> int:
    shares = policy(universal_holdout_share=0.05, trial_share=0.2)
    may = np.array([[plausible, False]])
    drawn = np.array([universal]), np.array([trial])
    return int(first_arms(*drawn, np.array([suppressed]), may, shares)[0])


def test_arms_before_the_plan() -> None:
    assert arm(0.049, 0.0, suppressed=True) == UNIVERSAL_HOLDOUT
    assert arm(0.05, 0.19) == TRIAL
    assert arm(0.05, 0.2) == NOT_CHOSEN
    assert arm(0.05, 0.19, suppressed=True) == SUPPRESSED
    assert arm(0.05, 0.19, plausible=False) == NOT_CHOSEN


def test_shares_of_zero_take_nobody() -> None:
    arms = first_arms(np.zeros(1), np.zeros(1), np.array([False]), EVERYTHING, policy())
    assert arms.tolist() == [NOT_CHOSEN]
    assert withhold(arms, np.array([0]), np.zeros(1), 0.0).tolist() == [POLICY]


@pytest.mark.parametrize("offers", [1, 2, 3, 19])
def test_each_of_k_offers_and_nothing_has_the_same_share_of_the_draw(offers: int) -> None:
    cells = offers + 1
    draws = (np.arange(60 * cells) + 0.5) / (60 * cells)
    plausible = np.zeros((len(draws), 2 * offers), dtype=bool)
    plausible[:, ::2] = True  # every second offer
    assigned = assign_trial(draws, plausible)
    positions, counts = np.unique(assigned, return_counts=True)
    assert positions.tolist() == [-1, *range(0, 2 * offers, 2)]
    assert set(counts.tolist()) == {60}


def test_trial_is_admitted_in_order_of_its_draw_until_any_offer_might_not_fit() -> None:
    plausible = np.ones((4, 2), dtype=bool)
    draws = np.array([0.3, 0.1, 0.2, 0.4])
    assigned = np.array([0, 0, -1, 0])
    cost = np.array([1.0, 6.0])
    # In order of draw: 1 (spends 1), 2 (nothing), 0 (spends 1), 3. Each must leave room for the expensive offer.
    admitted = admit_trial(draws, plausible, assigned, cost, limits(7.0, 9, 9))
    assert admitted.tolist() == [True, True, True, False]
    admitted = admit_trial(draws, plausible, assigned, cost, limits(6.5, 9, 9))
    assert admitted.tolist() == [False, True, False, False]  # once the trial is full it stays full


def test_trial_respects_offer_and_channel_capacity() -> None:
    plausible, cost = np.ones((3, 2), dtype=bool), np.zeros(2)
    draws, assigned = np.array([0.1, 0.2, 0.3]), np.array([0, 1, -1])
    assert admit_trial(draws, plausible, assigned, cost, limits(0, 1, 9)).tolist() == [True, False, False]
    shared = limits(0, 9, 9)
    shared = type(shared)(0.0, shared.offer_capacity, {"email": 2.0}, shared.offer_channel)
    assert admit_trial(draws, plausible, assigned, cost, shared).tolist() == [True, True, False]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_own_assignment_has_no_say_in_admission(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plausible = rng.random((12, 3)) < 0.7
    plausible[:, 0] = True
    draws, cost = rng.random(12), rng.integers(0, 5, 3) * 1.0
    assigned = assign_trial(rng.random(12), plausible)
    bounds = limits(float(rng.integers(0, 30)), *rng.integers(0, 6, 3))
    admitted = admit_trial(draws, plausible, assigned, cost, bounds)
    one = int(rng.integers(12))
    other = assigned.copy()
    other[one] = assign_trial(rng.random(1), plausible[[one]])[0]
    assert admit_trial(draws, plausible, other, cost, bounds)[one] == admitted[one]
    contacts = np.bincount(assigned[admitted & (assigned >= 0)], minlength=3)
    assert contacts @ cost <= bounds.budget
    assert (contacts <= bounds.offer_capacity).all()


def test_only_the_chosen_are_withheld() -> None:
    arms = np.array([NOT_CHOSEN, NOT_CHOSEN, NOT_CHOSEN, TRIAL, SUPPRESSED], dtype=np.int8)
    choice = np.array([1, 0, -1, 0, 0])
    pick = np.array([0.09, 0.1, 0.0, 0.0, 0.0])
    assert withhold(arms, choice, pick, 0.1).tolist() == [PICK_HOLDOUT, POLICY, NOT_CHOSEN, TRIAL, SUPPRESSED]


def test_propensities_of_every_arm() -> None:
    arms = np.array([POLICY, PICK_HOLDOUT, TRIAL, NOT_CHOSEN, SUPPRESSED, UNIVERSAL_HOLDOUT], dtype=np.int8)
    done, nothing = propensities(arms, np.array([9, 9, 3, 9, 9, 9]), 0.1)
    assert done.tolist() == [0.9, 0.1, 0.25, 1.0, 1.0, 1.0]
    assert nothing.tolist() == [0.1, 0.1, 0.25, 1.0, 1.0, 1.0]


def test_without_pick_holdout_the_chosen_were_certain_to_be_contacted() -> None:
    done, nothing = propensities(np.array([POLICY], dtype=np.int8), np.array([1]), 0.0)
    assert (done.tolist(), nothing.tolist()) == ([1.0], [0.0])
