"""Policies as probabilities of each arm, and choosing among them by their value on folds that learners have not seen.

The policies are nobody, one offer for all, and the plan that follows from effects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models_ml.decisions.choose import choose_actions
from models_ml.decisions.limits import Limits
from models_ml.errors import BayesPilotError
from models_ml.uplift.learners import LEARNERS, LearnerInputs
from models_ml.uplift.settings import UpliftSettings
from models_ml.uplift.trial import CONTROL, Floats, Trial, stratified_folds

NOBODY = "treat none"
LEARNED = "learned policy"

Notify = Callable[[str], None]


def one_offer_name(trial: Trial, offer: str) -> str:
    """Name the policy that makes one offer to all."""
    return "treat all" if len(trial.offers) == 1 else f"all {offer}"


def checked_limits(limits: Limits | None, trial: Trial) -> Limits:
    """Return the limits of as many customers as the trial has rows, infinite where none are given.

    Raises
    ------
    BayesPilotError
        If they are limits of other offers, or of the same in another order.
    """
    if limits is None:
        free = np.full(len(trial.offers), np.inf)
        return Limits(np.inf, free, dict.fromkeys(trial.offers, np.inf), trial.offers, trial.offers)
    if limits.offer_names != trial.offers:
        raise BayesPilotError(
            "limits and offers of the trial differ",
            where="limits",
            values=limits.offer_names,
            next_step=f"give limits with the offer_names {trial.offers}",
        )
    return limits


def uniform_policies(trial: Trial, limits: Limits) -> dict[str, Floats]:
    """Return the policies that do not look at the customer, simplest first, each (n, k + 1) probabilities.

    One offer is made to all, or under limits to as many as they allow, drawn by lot.
    """
    found = {NOBODY: _everybody(trial, CONTROL, 1.0)}
    for position, offer in enumerate(trial.offers):
        channel = limits.channel_capacity[limits.offer_channel[position]]
        contacts = min(float(limits.offer_capacity[position]), channel)
        cost = float(trial.cost[:, 1 + position].sum())
        shares = [1.0, contacts / len(trial), limits.budget / cost if cost > 0 else 1.0]
        found[one_offer_name(trial, offer)] = _everybody(trial, 1 + position, min(shares))
    return found


def planned_policy(trial: Trial, effects: Floats, limits: Limits) -> Floats:
    """Return the plan of `choose_actions` as 0 and 1, (n, k + 1).

    Parameters
    ----------
    effects : ndarray of shape (n, k)
        Expected effect of each offer on the outcome.
    """
    choice = planned_choice(net_gains(trial, effects), trial.cost[:, 1:], limits)
    return np.asarray(np.eye(len(trial.arms))[choice + 1])


def planned_choice(gains: Floats, cost: Floats, limits: Limits) -> np.ndarray:
    """Return the chosen offer of each row, −1 for none, (n,); all are allowed, and rows in order where they tie."""
    plan = choose_actions(
        gains,
        cost,
        np.ones(gains.shape, dtype=bool),
        limits=limits,
        touch_price=0.0,
        tie_order=np.arange(len(gains)),
    )
    return plan.choice


def net_gains(trial: Trial, effects: Floats) -> Floats:
    """Return the expected money of each offer against none, its cost subtracted, (n, k)."""
    return trial.value[:, None] * effects - trial.cost[:, 1:]


def _everybody(trial: Trial, arm: int, share: float) -> Floats:
    policy = np.zeros((len(trial), len(trial.arms)))
    policy[:, CONTROL] = 1.0 - share
    policy[:, arm] += share
    return policy


@dataclass(frozen=True)
class JudgedPolicy:
    """Money per customer against treating none, the shortfall to the best policy, and standard errors of both.

    ``treated`` is the share of customers that get an offer.
    """

    value: float
    standard_error: float
    shortfall: float
    shortfall_standard_error: float
    treated: float
    complexity: int

    @property
    def is_within_one_error(self) -> bool:
        """Whether the shortfall is at most one standard error of it."""
        return self.shortfall <= self.shortfall_standard_error


@dataclass(frozen=True)
class Selection:
    """Every policy as judged on the inner folds, the chosen one, and the best of those that are learned."""

    judged: Mapping[str, JudgedPolicy]
    chosen: str
    best_learner: str


def checked_learners(names: Sequence[str] | None, trial: Trial) -> tuple[str, ...]:
    """Return names of learners, simplest first.

    Raises
    ------
    BayesPilotError
        If one is unknown, or none is named.
    """
    asked = tuple(LEARNERS) if names is None else tuple(names)
    unknown = [name for name in asked if name not in LEARNERS]
    if unknown or not asked:
        raise BayesPilotError(
            "unknown learner" if unknown else "no learner is named",
            where="learners",
            values=unknown,
            next_step=f"choose among {', '.join(LEARNERS)}",
        )
    return tuple(name for name in LEARNERS if name in asked)


def select_policy(
    trial: Trial,
    learners: Sequence[str],
    limits: Limits,
    settings: UpliftSettings,
    *,
    fold_seed: int,
    notify: Notify,
) -> Selection:
    """Choose the simplest policy within one standard error of the best, by doubly robust value on inner folds.

    Parameters
    ----------
    learners : names in `LEARNERS`
    limits : Limits
        Of as many customers as the trial has rows.
    fold_seed : int
        Distinguishes the folds of different parts of a trial.
    """
    folds = settings.folds.inner
    fold = stratified_folds(trial.strata, folds, [settings.seed, fold_seed])
    worth: dict[str, Floats] = {}
    treated: dict[str, Floats] = {}
    for held in range(folds):
        rows = np.flatnonzero(fold == held)
        inputs = LearnerInputs(trial.part(np.flatnonzero(fold != held)), settings)
        part = trial.part(rows)
        notify(f"comparing {len(learners)} learners, part {held + 1} of {folds}")
        scores = money_scores(part, inputs.linear_responses.outcomes(part.features))
        share = limits.scaled(len(rows) / len(trial))
        policies = uniform_policies(part, share)
        for name in learners:
            effects = LEARNERS[name].fit(inputs).effects(part.features)
            policies[name] = planned_policy(part, effects, share)
        for name, policy in policies.items():
            worth.setdefault(name, np.empty(len(trial)))[rows] = (policy * scores).sum(axis=1) - scores[:, 0]
            treated.setdefault(name, np.empty(len(trial)))[rows] = 1.0 - policy[:, 0]
    judged = judge_policies(worth, treated, _complexities(worth))
    return Selection(judged, choose_simplest(judged), _best_learner(judged, learners))


def money_scores(trial: Trial, outcomes: Floats) -> Floats:
    """Return doubly robust scores of the money that follows each arm, (n, k + 1)."""
    return trial.money(trial.scores(outcomes))


def judge_policies(
    worth: Mapping[str, Floats], treated: Mapping[str, Floats], complexity: Mapping[str, int]
) -> dict[str, JudgedPolicy]:
    """Compare policies by what each row contributes to their value, paired over rows."""
    means = {name: float(rows.mean()) for name, rows in worth.items()}
    best = max(means, key=lambda name: means[name])
    return {
        name: JudgedPolicy(
            means[name],
            _standard_error(rows),
            means[best] - means[name],
            _standard_error(worth[best] - rows),
            float(treated[name].mean()),
            complexity[name],
        )
        for name, rows in worth.items()
    }


def choose_simplest(judged: Mapping[str, JudgedPolicy]) -> str:
    """Return the simplest policy within one standard error of the best; of equals the one worth more.

    Examples
    --------
    >>> judged = {
    ...     "treat none": JudgedPolicy(0.0, 0.0, 3.0, 1.0, 0.0, 0),
    ...     "all call": JudgedPolicy(2.0, 1.0, 1.0, 1.5, 1.0, 1),
    ...     "all email": JudgedPolicy(2.5, 1.0, 0.5, 1.5, 1.0, 1),
    ...     "effect_posterior": JudgedPolicy(3.0, 1.0, 0.0, 0.0, 0.4, 2),
    ... }
    >>> choose_simplest(judged)
    'all email'
    """
    near = [name for name, policy in judged.items() if policy.is_within_one_error]
    return min(near, key=lambda name: (judged[name].complexity, -judged[name].value))


def _best_learner(judged: Mapping[str, JudgedPolicy], learners: Sequence[str]) -> str:
    return max(learners, key=lambda name: judged[name].value)


def _complexities(names: Mapping[str, Floats]) -> dict[str, int]:
    return {name: LEARNERS[name].complexity if name in LEARNERS else int(name != NOBODY) for name in names}


def _standard_error(rows: Floats) -> float:
    return float(rows.std(ddof=1) / np.sqrt(len(rows)))
