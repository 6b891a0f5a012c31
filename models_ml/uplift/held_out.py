"""The whole procedure on held-out folds, and what its policies are worth there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models_ml.decisions.limits import Limits
from models_ml.evaluation import PolicyValue, policy_value
from models_ml.uplift.folds import stratified_folds
from models_ml.uplift.learners import LEARNERS, LearnerInputs
from models_ml.uplift.policies import LEARNED, net_gains, planned_policy, uniform_policies
from models_ml.uplift.qini import descending_rank
from models_ml.uplift.selection import Notify, Selection, money_scores, select_policy
from models_ml.uplift.settings import UpliftSettings
from models_ml.uplift.trial import CONTROL, Floats, Trial


@dataclass(frozen=True)
class HeldOut:
    """Each row as treated by what was selected and fitted without it; n rows, k offers.

    ``policies`` maps every policy to probabilities (n, k + 1), the learned one last; ``outcomes`` (n, k + 1)
    are predicted outcomes; ``scores`` (n, k + 1) doubly robust scores of money; ``rank`` (n,) orders customers
    by the gain that the best learner of the fold expects of their best offer, ``best_arm`` (n,).
    """

    policies: Mapping[str, Floats]
    outcomes: Floats
    scores: Floats
    rank: Floats
    best_arm: np.ndarray
    selections: tuple[Selection, ...]

    @property
    def ranked_gain(self) -> Floats:
        """Doubly robust score of each customer's best offer against none, money, (n,)."""
        rows = np.arange(len(self.scores))
        return np.asarray(self.scores[rows, self.best_arm] - self.scores[:, CONTROL])


def run_held_out(
    trial: Trial, learners: Sequence[str], limits: Limits, settings: UpliftSettings, notify: Notify
) -> HeldOut:
    """Select, fit and plan for each outer fold on the rows outside it."""
    folds = settings.folds.outer
    fold = stratified_folds(trial.strata, folds, settings.seed)
    shape = (len(trial), len(trial.arms))
    policies: dict[str, Floats] = {}
    outcomes, rank, best_arm = np.empty(shape), np.empty(shape[0]), np.empty(shape[0], dtype=np.int64)
    selections = []
    for held in range(folds):
        rows = np.flatnonzero(fold == held)
        inputs = LearnerInputs(trial.part(np.flatnonzero(fold != held)), settings)
        part = trial.part(rows)
        share = len(rows) / len(trial)

        def say(message: str, number: int = held + 1) -> None:
            notify(f"fold {number} of {folds}: {message}")

        selected = select_policy(
            inputs.trial, learners, limits.scaled(1 - share), settings, fold_seed=held + 1, notify=say
        )
        selections.append(selected)
        outcomes[rows] = inputs.linear_responses.outcomes(part.features)
        found = uniform_policies(part, limits.scaled(share))
        fitted = {
            name: LEARNERS[name].fit(inputs).effects(part.features)
            for name in sorted({selected.chosen, selected.best_learner} & LEARNERS.keys())
        }
        if selected.chosen in fitted:
            found[LEARNED] = planned_policy(part, fitted[selected.chosen], limits.scaled(share))
        else:
            found[LEARNED] = found[selected.chosen]
        for name, policy in found.items():
            policies.setdefault(name, np.empty(shape))[rows] = policy
        gains = net_gains(part, fitted[selected.best_learner])
        best_arm[rows] = 1 + gains.argmax(axis=1)
        rank[rows] = descending_rank(gains.max(axis=1), settings.seed)
    scores = money_scores(trial, outcomes)
    return HeldOut(policies, outcomes, scores, rank, best_arm, tuple(selections))


@dataclass(frozen=True)
class Worth:
    """A policy on held-out customers, money per customer.

    ``value`` is what follows it; ``against_none`` what it adds to treating none, None where it is that policy
    or differs from it for too few to tell; ``treated`` the share of customers with an offer; ``cost`` its cost.
    """

    value: PolicyValue
    against_none: PolicyValue | None
    treated: float
    cost: float


def worth_of(trial: Trial, held_out: HeldOut, name: str, none: str, settings: UpliftSettings) -> Worth:
    """Return what a policy is worth on held-out rows."""
    policy = held_out.policies[name]
    return Worth(
        _value(trial, held_out, policy, None),
        contrast(trial, held_out, name, none, settings),
        float(1.0 - policy[:, CONTROL].mean()),
        float((policy * trial.cost).sum(axis=1).mean()),
    )


def contrast(
    trial: Trial, held_out: HeldOut, name: str, other: str, settings: UpliftSettings
) -> PolicyValue | None:
    """Return what one policy is worth more than another per customer, doubly robust, with a 95 % interval.

    None where they are the same, or where an arm that they differ about has too few rows to tell.
    """
    first, second = held_out.policies[name], held_out.policies[other]
    differ = (first != second).any(axis=1)
    if not differ.any():
        return None
    asked = ((first > 0) | (second > 0))[differ]
    rows = np.arange(len(asked))
    arm = trial.arm[differ]
    seen = np.bincount(arm[asked[rows, arm]], minlength=len(trial.arms))
    if (seen[asked.any(axis=0)] < settings.trial.differing_rows_at_least).any():
        return None
    return _value(trial, held_out, first, second)


def _value(trial: Trial, held_out: HeldOut, policy: Floats, reference: Floats | None) -> PolicyValue:
    return policy_value(
        trial.arm,
        trial.propensity,
        trial.reward,
        policy,
        method="dr",
        reference=reference,
        predicted_reward=trial.money(held_out.outcomes),
    )


def are_the_same(held_out: HeldOut, name: str, other: str) -> bool:
    """Say whether two policies treat every held-out customer alike."""
    return bool((held_out.policies[name] == held_out.policies[other]).all())
