"""What a policy is worth, from actions that were logged with the probability of taking them.

Notation: n rows; a_i the action taken, p_i > 0 the probability with which the logging took it, r_i the reward
that followed; π(a|x_i) the policy asked about and ρ(a|x_i) the reference, whose value is subtracted; q(x_i, a)
a predicted reward. The weights are w_i = π(a_i|x_i) / p_i and v_i = ρ(a_i|x_i) / p_i (v = 0 without reference).

    ips    1/n Σ (w − v) r                                              Horvitz & Thompson (1952)
    snips  Σ w r / Σ w − Σ v r / Σ v                                    Swaminathan & Joachims (2015)
    dr     1/n Σ [Σ_a (π − ρ)(a) q(x, a) + (w − v)(r − q(x, a_i))]      Dudík, Langford & Li (2011)

ips and dr are unbiased whatever q says; a good q makes dr much more precise. snips is consistent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from models_ml.errors import BayesPilotError
from models_ml.evaluation.intervals import Estimate, student_interval
from models_ml.evaluation.logged_actions import LoggedActions, read_logged, require_support

Method = Literal["dr", "snips", "ips"]


@dataclass(frozen=True)
class PolicyValue(Estimate):
    """Value of a policy per row, against the reference where there is one, in the unit of the reward.

    ``effective_sample_size`` is (Σ w)² / Σ w² (Kish, 1965) over the rows where policy and reference differ,
    for the policy or the reference, whichever is smaller: how many unweighted rows would say as much.
    """

    method: str
    rows: int
    clusters: int
    effective_sample_size: float


def policy_value(
    action: ArrayLike,
    propensity: ArrayLike,
    reward: ArrayLike,
    target: ArrayLike,
    *,
    method: Method,
    reference: ArrayLike | None = None,
    predicted_reward: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
) -> PolicyValue:
    """Estimate what a policy is worth per row, with a 95 % interval.

    Parameters
    ----------
    action : array-like of shape (n,), int
        What was done: 0 to k − 1.
    propensity : array-like of shape (n,), above 0, at most 1
        Probability with which the logging did it.
    reward : array-like of shape (n,)
        What followed, for example money.
    target : array-like of shape (n,), int, or of shape (n, k), 0 to 1
        Action that the policy would take, or its probability of each.
    method : {"dr", "snips", "ips"}
    reference : int, or array-like as ``target``, optional
        Policy whose value is subtracted, for example 0 everywhere for contacting nobody.
    predicted_reward : array-like of shape (n, k), optional
        Expected reward of each action, made without looking at ``reward``; "dr" needs it.
    cluster : array-like of shape (n,), optional
        Rows of one cluster depend on each other, such as months of one customer. The standard error is then
        robust to it (Liang & Zeger, 1986).

    Raises
    ------
    BayesPilotError
        If an input has a wrong shape or is not finite, a propensity lies outside (0, 1], the policy or the
        reference takes an action that the logging could not take or never took, or there is one cluster only.

    Examples
    --------
    Two customers contacted and two left alone by the toss of a coin; rewards 4 and 2 against 1 and 1:

    >>> logged = [1, 1, 0, 0], [0.5] * 4, [4.0, 2.0, 1.0, 1.0]
    >>> policy_value(*logged, [1, 1, 1, 1], reference=0, method="ips").value  # (8 + 4 - 2 - 2) / 4
    2.0
    >>> policy_value(*logged, [1, 0, 1, 0], method="snips").value  # (2 * 4 + 2 * 1) / (2 + 2)
    2.5
    >>> expected = [[1.0, 3.0]] * 4  # right about nothing, so that 2 + (2 * 1 - 2 * 1 - 0 - 0) / 4 remains
    >>> policy_value(*logged, [1] * 4, reference=0, predicted_reward=expected, method="dr").value
    2.0
    """
    if method not in get_args(Method):
        raise BayesPilotError("unknown method", values=[method], next_step='use "dr", "snips" or "ips"')
    logged = read_logged(action, propensity, reward, target, reference, predicted_reward)
    require_support(logged)
    if method == "dr":
        if predicted_reward is None:
            raise BayesPilotError('method "dr" needs predicted_reward', next_step='give it, or use "snips"')
        value, influence = _doubly_robust(logged, np.asarray(predicted_reward, dtype=float))
    else:
        value, influence = (_self_normalised if method == "snips" else _inverse_propensity)(logged)
    summed, clusters = _sum_clusters(influence, cluster)
    estimate = student_interval(value, summed * np.sqrt(clusters / (clusters - 1.0)))
    return PolicyValue(
        **vars(estimate),
        method=method,
        rows=len(influence),
        clusters=clusters,
        effective_sample_size=_effective_sample_size(logged),
    )


def _inverse_propensity(logged: LoggedActions) -> tuple[float, np.ndarray]:
    return _mean((logged.weight(logged.policy) - logged.weight(logged.reference)) * logged.reward)


def _doubly_robust(logged: LoggedActions, predicted: np.ndarray) -> tuple[float, np.ndarray]:
    weight = logged.weight(logged.policy) - logged.weight(logged.reference)
    surprise = logged.reward - predicted[np.arange(len(weight)), logged.action]
    return _mean(((logged.policy - logged.reference) * predicted).sum(axis=1) + weight * surprise)


def _mean(contributions: np.ndarray) -> tuple[float, np.ndarray]:
    value = float(contributions.mean())
    return value, (contributions - value) / len(contributions)


def _self_normalised(logged: LoggedActions) -> tuple[float, np.ndarray]:
    value, influence = 0.0, np.zeros(len(logged.reward))
    for sign, probabilities in ((1.0, logged.policy), (-1.0, logged.reference)):
        if probabilities.any():
            weight = logged.weight(probabilities)
            mean = float(weight @ logged.reward / weight.sum())
            value += sign * mean
            influence += sign * weight * (logged.reward - mean) / weight.sum()
    return value, influence


def _sum_clusters(influence: np.ndarray, cluster: ArrayLike | None) -> tuple[np.ndarray, int]:
    if cluster is not None:
        names, position = np.unique(np.asarray(cluster), return_inverse=True)
        if len(position) != len(influence):
            raise BayesPilotError("cluster has another length than action", values=[len(position)])
        influence = np.bincount(position, influence, len(names))
    if len(influence) < 2:
        raise BayesPilotError(
            "one row or cluster says nothing about its own error", next_step="log more rows"
        )
    return influence, len(influence)


def _effective_sample_size(logged: LoggedActions) -> float:
    sizes = []
    for probabilities in (logged.policy, logged.reference):
        weight = logged.weight(probabilities)[logged.differing]
        if weight.any():
            sizes.append(float(weight.sum() ** 2 / (weight @ weight)))
    return min(sizes, default=0.0)
