"""Worlds with a randomised trial whose effects are known: two offers, one kind of difference each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from models_ml.training import feature_schema
from models_ml.uplift import LearnedPolicy

ARMS = ("none", "call", "discount")
SCHEMA = feature_schema({"tenure": "numeric", "usage": "numeric", "plan": "categorical"})
VALUE, COST = 100.0, {"call": 4.0, "discount": 8.0}  # money per customer kept, and per contact


@dataclass(frozen=True)
class SimulatedTrial:
    """A trial as `learn_policy` reads it, and the expected money of each arm for each row, (n, 3)."""

    frame: pd.DataFrame
    expected_money: np.ndarray

    def true_gain(self, learned: LearnedPolicy, policy: str) -> float:
        """Return the true money per customer of a held-out policy against treating none."""
        against = self.expected_money - self.expected_money[:, :1]
        return float((learned.held_out.policies[policy] * against).sum(axis=1).mean())


Effects = Callable[[pd.DataFrame], tuple[np.ndarray, np.ndarray]]  # log-odds of call, of discount


def no_effect(customers: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Neither offer does anything."""
    return np.zeros(len(customers)), np.zeros(len(customers))


def same_for_all(customers: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The call helps everybody by the same amount, the discount less than it costs."""
    return np.full(len(customers), 0.8), np.full(len(customers), 0.2)


def some_harmed(customers: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The call helps long tenures and drives short ones away; the discount helps those on the basic plan."""
    call = np.where(customers["tenure"] > 0, 1.2, -0.8)
    return call, np.where(customers["plan"] == "basic", 1.2, -0.2)


WORLDS: Mapping[str, Effects] = {
    "no effect": no_effect,
    "same for all": same_for_all,
    "some harmed": some_harmed,
}


def simulate_trial(effects: Effects, customers: int, seed: int) -> SimulatedTrial:
    """Draw a trial in which each arm has the probability one third.

    The outcome is whether the customer stays; without an offer about 60 % do, more of the frequent users.
    """
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "tenure": random.normal(size=customers),
            "usage": random.normal(size=customers),
            "plan": random.choice(["basic", "plus", "pro"], customers),
        }
    )
    alone = logit(0.6) + 0.5 * frame["usage"].to_numpy()
    moved = np.column_stack([np.zeros(customers), *effects(frame)])
    stays = expit(alone[:, None] + moved)
    arm = random.integers(0, len(ARMS), customers)
    frame["offer"] = np.array(ARMS)[arm]
    frame["stayed"] = (random.random(customers) < stays[np.arange(customers), arm]).astype(int)
    costs = np.array([0.0, *(COST[offer] for offer in ARMS[1:])])
    return SimulatedTrial(frame, VALUE * stays - costs)
