"""Holdouts and trials: their members, what they get, and the propensities that are logged."""

from __future__ import annotations

import numpy as np
from decision_data import policy

from models_ml.decisions.randomisation import (
    NOT_CHOSEN,
    PICK_HOLDOUT,
    POLICY,
    SUPPRESSED,
    TRIAL,
    UNIVERSAL_HOLDOUT,
    first_arms,
    propensities,
    withhold,
)


def test_arms_before_trial_and_plan() -> None:
    drawn, suppressed = np.array([0.049, 0.05, 0.05]), np.array([True, True, False])
    arms = first_arms(drawn, suppressed, policy(universal_holdout_share=0.05))
    assert arms.tolist() == [UNIVERSAL_HOLDOUT, SUPPRESSED, NOT_CHOSEN]


def test_shares_of_zero_take_nobody() -> None:
    arms = first_arms(np.zeros(1), np.array([False]), policy())
    assert arms.tolist() == [NOT_CHOSEN]
    assert withhold(arms, np.array([0]), np.zeros(1), 0.0).tolist() == [POLICY]


def test_only_the_chosen_are_withheld() -> None:
    arms = np.array([NOT_CHOSEN, NOT_CHOSEN, NOT_CHOSEN, TRIAL, SUPPRESSED], dtype=np.int8)
    choice = np.array([1, 0, -1, 0, 0])
    pick = np.array([0.09, 0.1, 0.0, 0.0, 0.0])
    assert withhold(arms, choice, pick, 0.1).tolist() == [PICK_HOLDOUT, POLICY, NOT_CHOSEN, TRIAL, SUPPRESSED]


def test_propensities_of_every_arm() -> None:
    arms = np.array([POLICY, PICK_HOLDOUT, TRIAL, NOT_CHOSEN, SUPPRESSED, UNIVERSAL_HOLDOUT], dtype=np.int8)
    done, nothing = propensities(arms, np.full(6, 0.25), np.full(6, 0.4), 0.1)
    assert done.tolist() == [0.9, 0.1, 0.25, 1.0, 1.0, 1.0]
    assert nothing.tolist() == [0.1, 0.1, 0.4, 1.0, 1.0, 1.0]


def test_without_pick_holdout_the_chosen_were_certain_to_be_contacted() -> None:
    done, nothing = propensities(np.array([POLICY], dtype=np.int8), np.ones(1), np.ones(1), 0.0)
    assert (done.tolist(), nothing.tolist()) == ([1.0], [0.0])
