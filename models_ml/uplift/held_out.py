"""The whole procedure on held-out parts of a trial, and what its policies are worth there.

The trial is cut into parts at random. Each but the first few is judged by what was selected and fitted on the parts
before it (Wager 2024, "Sequential validation of treatment heterogeneity"). Given the past, the errors of a
part have mean 0, so that their sum is as uncertain as it looks. In ordinary cross-validation every part also
trains the policies that are judged on the others: where offers do the same for everybody, the errors of the
folds agree, and intervals are up to a factor √2 too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models_ml.decisions.limits import Limits
from models_ml.evaluation import PolicyValue, policy_value
from models_ml.uplift.learners import LEARNERS, LearnerInputs
from models_ml.uplift.policies import LEARNED, net_gains, planned_policy, uniform_policies
from models_ml.uplift.qini import descending_rank
from models_ml.uplift.selection import Notify, Selection, money_scores, select_policy
from models_ml.uplift.settings import UpliftSettings
from models_ml.uplift.trial import CONTROL, Floats, Trial, stratified_folds


@dataclass(frozen=True)
class HeldOut:
    """Each judged row as treated by what was selected and fitted on the parts before; n judged rows, k offers.

    ``rows`` (n,) are their positions in the whole trial and ``trial`` is the trial of them; ``policies`` maps
    every policy to probabilities (n, k + 1), the learned one last; ``outcomes`` (n, k + 1) are predicted outcomes;
    ``scores`` (n, k + 1) doubly robust scores of money; ``rank`` (n,) orders the customers of a part by the gain
    that the best learner before it expects of their best offer, ``best_arm`` (n,).
    """

    rows: np.ndarray
    trial: Trial
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


@dataclass(frozen=True)
class _Part:
    """One judged part; the arrays of `HeldOut` for its rows."""

    policies: Mapping[str, Floats]
    outcomes: Floats
    rank: Floats
    best_arm: np.ndarray
    selection: Selection


def run_held_out(
    trial: Trial, learners: Sequence[str], limits: Limits, settings: UpliftSettings, notify: Notify
) -> HeldOut:
    """Select, fit and plan for each part on the parts before it."""
    parts = settings.folds.outer
    part_of = stratified_folds(trial.strata, parts, settings.seed)
    judged, positions = [], []
    for number in range(settings.folds.learned_first, parts):

        def say(message: str, number: int = number) -> None:
            notify(f"part {number + 1} of {parts}: {message}")

        positions.append(np.flatnonzero(part_of == number))
        earlier = np.flatnonzero(part_of < number)
        judged.append(_judge_part(trial, earlier, positions[-1], learners, limits, settings, number, say))
    rows = np.concatenate(positions)
    whole = trial.part(rows)
    outcomes = np.concatenate([part.outcomes for part in judged])
    return HeldOut(
        rows=rows,
        trial=whole,
        policies={
            name: np.concatenate([part.policies[name] for part in judged]) for name in judged[0].policies
        },
        outcomes=outcomes,
        scores=money_scores(whole, outcomes),
        rank=np.concatenate([part.rank for part in judged]),
        best_arm=np.concatenate([part.best_arm for part in judged]),
        selections=tuple(part.selection for part in judged),
    )


def _judge_part(
    trial: Trial,
    earlier: np.ndarray,
    rows: np.ndarray,
    learners: Sequence[str],
    limits: Limits,
    settings: UpliftSettings,
    number: int,
    notify: Notify,
) -> _Part:
    inputs, part = LearnerInputs(trial.part(earlier), settings), trial.part(rows)
    before, share = limits.scaled(len(earlier) / len(trial)), limits.scaled(len(rows) / len(trial))
    selected = select_policy(inputs.trial, learners, before, settings, fold_seed=number, notify=notify)
    policies = uniform_policies(part, share)
    effects = {
        name: LEARNERS[name].fit(inputs).effects(part.features)
        for name in sorted({selected.chosen, selected.best_learner} & LEARNERS.keys())
    }
    if selected.chosen in effects:
        policies[LEARNED] = planned_policy(part, effects[selected.chosen], share)
    else:
        policies[LEARNED] = policies[selected.chosen]
    gains = net_gains(part, effects[selected.best_learner])
    return _Part(
        policies,
        inputs.linear_responses.outcomes(part.features),
        descending_rank(gains.max(axis=1), settings.seed),
        1 + gains.argmax(axis=1),
        selected,
    )


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


def worth_of(held_out: HeldOut, name: str, none: str, settings: UpliftSettings) -> Worth:
    """Return what a policy is worth on held-out rows."""
    policy = held_out.policies[name]
    return Worth(
        _value(held_out, policy, None),
        contrast(held_out, name, none, settings),
        float(1.0 - policy[:, CONTROL].mean()),
        float((policy * held_out.trial.cost).sum(axis=1).mean()),
    )


def contrast(held_out: HeldOut, name: str, other: str, settings: UpliftSettings) -> PolicyValue | None:
    """Return what one policy is worth more than another per customer, doubly robust, with a 95 % interval.

    None where they are the same, or where an arm that they differ about has too few rows to tell.
    """
    first, second = held_out.policies[name], held_out.policies[other]
    differ = (first != second).any(axis=1)
    if not differ.any():
        return None
    asked = ((first > 0) | (second > 0))[differ]
    rows = np.arange(len(asked))
    arm = held_out.trial.arm[differ]
    seen = np.bincount(arm[asked[rows, arm]], minlength=len(held_out.trial.arms))
    if (seen[asked.any(axis=0)] < settings.trial.differing_rows_at_least).any():
        return None
    return _value(held_out, first, second)


def _value(held_out: HeldOut, policy: Floats, reference: Floats | None) -> PolicyValue:
    trial = held_out.trial
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
