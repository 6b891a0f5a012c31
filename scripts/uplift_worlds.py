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
        judged = self.expected_money[learned.held_out.rows]
        against = judged - judged[:, :1]
        return float((learned.held_out.policies[policy] * against).sum(axis=1).mean())


# From customers and their probability of staying without an offer to that with the call and with the discount.
Effects = Callable[[pd.DataFrame, np.ndarray], tuple[np.ndarray, np.ndarray]]


def no_effect(customers: pd.DataFrame, alone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave everybody as without an offer."""
    return alone, alone


def break_even(customers: pd.DataFrame, alone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Let both offers earn exactly what they cost, for everybody: every policy is worth the same."""
    return alone + COST["call"] / VALUE, alone + COST["discount"] / VALUE


def same_for_all(customers: pd.DataFrame, alone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Let the call help everybody alike, the discount less than it costs."""
    return alone + 0.15, alone + 0.05


def some_harmed(customers: pd.DataFrame, alone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Let the call help long tenures and drive short ones away, the discount help those on the basic plan."""
    call = np.where(customers["tenure"] > 0, 1.2, -0.8)
    discount = np.where(customers["plan"] == "basic", 1.2, -0.2)
    return expit(logit(alone) + call), expit(logit(alone) + discount)


WORLDS: Mapping[str, Effects] = {
    "no effect": no_effect,
    "break even": break_even,
    "same for all": same_for_all,
    "some harmed": some_harmed,
}


def simulate_trial(effects: Effects, customers: int, seed: int) -> SimulatedTrial:
    """Draw a trial in which each arm has the probability one third.

    The outcome is whether the customer stays; without an offer 40 to 80 % do, more of the frequent users.
    """
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "tenure": random.normal(size=customers),
            "usage": random.normal(size=customers),
            "plan": random.choice(["basic", "plus", "pro"], customers),
        }
    )
    alone = 0.4 + 0.4 * expit(frame["usage"].to_numpy())
    stays = np.column_stack([alone, *effects(frame, alone)])
    arm = random.integers(0, len(ARMS), customers)
    frame["offer"] = np.array(ARMS)[arm]
    frame["stayed"] = (random.random(customers) < stays[np.arange(customers), arm]).astype(int)
    costs = np.array([0.0, *(COST[offer] for offer in ARMS[1:])])
    return SimulatedTrial(frame, VALUE * stays - costs)
