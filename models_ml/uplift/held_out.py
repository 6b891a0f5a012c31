"""The whole procedure on held-out parts of a trial, and what its policies are worth there.

The trial is cut into parts at random. Each but the first few is judged by what was selected and fitted on the parts
before it (Wager 2024, "Sequential validation of treatment heterogeneity"). Given the past, the errors of a
part have mean 0, so that their sum is as uncertain as it looks. In ordinary cross-validation every part also
trains the policies that are judged on the others: where offers do the same for everybody, the errors of the
folds agree, and intervals are up to a factor √2 too narrow.

The Qini curve (Radcliffe 2007, "Using control groups to target on predicted lift") says what contacting a growing share
of customers is worth, the most promising first. It is drawn in money, each customer with the offer that the learner
expects most of; from doubly robust scores of customers that the learner has not seen. With one offer at a constant
value and cost the coefficient is the classical one times that value: costs move the curve and the line of a random
order alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models_ml.decisions.limits import Limits
from models_ml.evaluation import PolicyValue, policy_value
from models_ml.uplift.learners import LEARNERS, LearnerInputs
from models_ml.uplift.policies import (
    LEARNED,
    Notify,
    Selection,
    money_scores,
    net_gains,
    planned_policy,
    select_policy,
    uniform_policies,
)
from models_ml.uplift.settings import QiniSettings, UpliftSettings
from models_ml.uplift.trial import CONTROL, Floats, Trial, stratified_folds

_LEVEL = 0.95


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
    parts, part_of = settings.folds.outer, parts_of(trial, settings)
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


def parts_of(trial: Trial, settings: UpliftSettings) -> np.ndarray:
    """Return the part of each row, (n,), spread by arm alone.

    Parts with the same share of outcomes would repeat the luck of the parts before them: what was chosen for its luck
    would look as good again.
    """
    return stratified_folds([trial.arm], settings.folds.outer, settings.seed)


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

    ``value`` is what follows it, None where too few got what it would do; ``against_none`` what it adds to treating
    none, None where it is that policy or differs from it for too few to tell; ``treated`` the share of customers with
    an offer; ``cost`` its cost.
    """

    value: PolicyValue | None
    against_none: PolicyValue | None
    treated: float
    cost: float


def worth_of(held_out: HeldOut, name: str, none: str, settings: UpliftSettings) -> Worth:
    """Return what a policy is worth on held-out rows."""
    policy = held_out.policies[name]
    return Worth(
        _value(held_out, policy, None, settings),
        contrast(held_out, name, none, settings),
        float(1.0 - policy[:, CONTROL].mean()),
        float((policy * held_out.trial.cost).sum(axis=1).mean()),
    )


def contrast(held_out: HeldOut, name: str, other: str, settings: UpliftSettings) -> PolicyValue | None:
    """Return what one policy is worth more than another per customer, doubly robust, with a 95 % interval.

    None where they are the same, or where too few rows tell what one of them does where they differ.
    """
    return _value(held_out, held_out.policies[name], held_out.policies[other], settings)


def _value(
    held_out: HeldOut, policy: Floats, reference: Floats | None, settings: UpliftSettings
) -> PolicyValue | None:
    """Return the value of a policy, less that of a reference where there is one.

    None where they do the same, or where an arm that one of them asks for was given to too few of the rows for which
    it asks: rows where both do the same say nothing.
    """
    trial = held_out.trial
    other = np.zeros_like(policy) if reference is None else reference
    differ = (policy != other).any(axis=1)
    given = np.eye(len(trial.arms), dtype=bool)[trial.arm[differ]]
    for asked in (policy[differ] > 0, other[differ] > 0):
        rows = (asked & given).sum(axis=0)
        if (rows[asked.any(axis=0)] < settings.trial.differing_rows_at_least).any():
            return None
    if not differ.any():
        return None
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


@dataclass(frozen=True)
class QiniCurve:
    """Net money per customer against contacting none, by share contacted, each (bins + 1,).

    ``low`` to ``high`` holds the whole curve with probability 95 % (bootstrap over customers, ranks as they are).
    ``coefficient`` is the area between the curve and a straight line to its end, money per customer: how much
    ranking gains over a random order, on average over all shares; ``coefficient_low`` to ``coefficient_high``
    is its 95 % interval.
    """

    share: Floats
    value: Floats
    low: Floats
    high: Floats
    coefficient: float
    coefficient_low: float
    coefficient_high: float


def qini_curve(gain: Floats, rank: Floats, settings: QiniSettings, seed: int) -> QiniCurve:
    """Cumulate gains in the order of ranks.

    Parameters
    ----------
    gain : ndarray of shape (n,)
        Doubly robust score of contacting the customer against not, money.
    rank : ndarray of shape (n,), 0 to 1
        The most promising first.

    Examples
    --------
    Two customers gain 4 each, two lose 2; a perfect order rises to 8 / 4 at one half and ends at 4 / 4.

    >>> from models_ml.uplift.settings import QiniSettings
    >>> curve = qini_curve(np.array([4.0, 4.0, -2.0, -2.0]), np.array([0.1, 0.3, 0.6, 0.8]),
    ...                    QiniSettings(bins=2, bootstraps=10), seed=1)
    >>> curve.value.tolist(), curve.coefficient
    ([0.0, 2.0, 1.0], 0.75)
    """
    bins = np.minimum((rank * settings.bins).astype(np.int64), settings.bins - 1)
    counts = np.bincount(bins, minlength=settings.bins).astype(np.float64)
    share, value, coefficient = _cumulated(counts, _sums(bins, gain, settings.bins))
    random = np.random.default_rng(seed)
    curves, coefficients = np.empty((settings.bootstraps, len(value))), np.empty(settings.bootstraps)
    for draw in range(settings.bootstraps):
        taken = random.integers(0, len(gain), len(gain))
        drawn_bins = bins[taken]
        drawn = np.bincount(drawn_bins, minlength=settings.bins).astype(np.float64)
        drawn_share, drawn_value, coefficients[draw] = _cumulated(
            drawn, _sums(drawn_bins, gain[taken], settings.bins)
        )
        curves[draw] = np.interp(share, drawn_share, drawn_value)
    reach = _simultaneous_reach(curves - value)
    low, high = 2 * coefficient - np.quantile(coefficients, [(1 + _LEVEL) / 2, (1 - _LEVEL) / 2])
    return QiniCurve(share, value, value - reach, value + reach, coefficient, float(low), float(high))


def _sums(bins: np.ndarray, gain: Floats, count: int) -> Floats:
    return np.asarray(np.bincount(bins, gain, count), dtype=np.float64)


def _cumulated(counts: Floats, sums: Floats) -> tuple[Floats, Floats, float]:
    total = counts.sum()
    share = np.concatenate([[0.0], np.cumsum(counts) / total])
    value = np.concatenate([[0.0], np.cumsum(sums) / total])
    area = float((np.diff(share) * (value[1:] + value[:-1])).sum() / 2)
    return share, value, area - float(value[-1]) / 2


def _simultaneous_reach(errors: Floats) -> Floats:
    """Return the half width of a band that holds whole curves: errors over their deviation, largest along each."""
    deviation = errors.std(axis=0, ddof=1)
    known = deviation > 0
    largest = np.abs(errors[:, known] / deviation[known]).max(axis=1, initial=0.0)
    return np.asarray(deviation * np.quantile(largest, _LEVEL))


def descending_rank(score: Floats, seed: int) -> Floats:
    """Return ranks within (0, 1), the highest score first; ties in a random order, (n,).

    >>> descending_rank(np.array([1.0, 3.0, 2.0]), seed=1).round(3).tolist()
    [0.833, 0.167, 0.5]
    """
    mixed = np.random.default_rng(seed).permutation(len(score))
    order = mixed[np.argsort(-score[mixed], kind="stable")]
    rank = np.empty(len(score))
    rank[order] = (np.arange(len(score)) + 0.5) / len(score)
    return rank
