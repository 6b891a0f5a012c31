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

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from models_ml.errors import BayesPilotError
from models_ml.evaluation.arrays import as_numbers
from models_ml.evaluation.intervals import STEADYING_ROWS, Estimate, student_interval

ROUNDING = 1e-9
ONCE_IN_A_MILLION = 13.815510557964274  # minus the logarithm of that probability
TOLERATED_GAP = 0.1  # of a mean weight from 1: propensities are often rounded, or slightly off


@dataclass(frozen=True)
class LoggedActions:
    """n rows: ``action`` (n,) int, ``propensity`` and ``reward`` (n,), ``policy`` and ``reference`` (n, k).

    ``policy`` and ``reference`` are probabilities per action; a reference of zeros stands for none.
    """

    action: np.ndarray
    propensity: np.ndarray
    reward: np.ndarray
    policy: np.ndarray
    reference: np.ndarray

    def weight(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the probability of what was done over its propensity, shape (n,)."""
        return self.of_action(probabilities) / self.propensity

    def of_action(self, table: np.ndarray) -> np.ndarray:
        """Return the entry of what was done in each row of a table of shape (n, k)."""
        return np.asarray(table[np.arange(len(self.action)), self.action])

    @cached_property
    def differing(self) -> np.ndarray:
        """Rows where policy and reference differ, shape (n,)."""
        return np.asarray((self.policy != self.reference).any(axis=1))


def read_logged(
    action: ArrayLike,
    propensity: ArrayLike,
    reward: ArrayLike,
    target: ArrayLike,
    reference: ArrayLike | None,
    predicted_reward: ArrayLike | None,
) -> LoggedActions:
    """Check the inputs of :func:`models_ml.evaluation.policy_value` and bring them into one shape.

    Raises
    ------
    BayesPilotError
        If a length or shape does not fit, a number is not finite, an action is not 0 to k - 1, a propensity
        lies outside (0, 1], or probabilities of a row do not add up to 1.
    """
    done = _codes("action", action)
    count = len(done)
    propensities = as_numbers("propensity", propensity, (count,))
    _refuse("propensity outside (0, 1]", propensities, (propensities <= 0) | (propensities > 1))
    rewards = as_numbers("reward", reward, (count,))
    target = _array("target", target)
    policies = [target] if reference is None else [target, _array("reference", reference)]
    expected = [] if predicted_reward is None else [_array("predicted_reward", predicted_reward)]
    tables = [table for table in (*policies, *expected) if table.ndim == 2]
    named = [_codes("action of a policy", table) for table in policies if np.ndim(table) < 2]
    actions = tables[0].shape[1] if tables else 1 + max(int(codes.max(initial=0)) for codes in (done, *named))
    for codes in (done, *named):
        _refuse(f"action outside 0 to {actions - 1}", codes, (codes < 0) | (codes >= actions))
    for table in expected:
        as_numbers("predicted_reward", table, (count, actions))
    policy = _probabilities("target", target, (count, actions))
    nothing = np.zeros((count, actions))
    against = nothing if reference is None else _probabilities("reference", reference, (count, actions))
    return LoggedActions(done, propensities, rewards, policy, against)


def require_support(logged: LoggedActions) -> None:
    """Refuse policies that take what the logging could not take, or never took where it matters.

    Raises
    ------
    BayesPilotError
        Naming the rows, or the actions.
    """
    for name, probabilities in (("target", logged.policy), ("reference", logged.reference)):
        taken = logged.of_action(probabilities)
        elsewhere = probabilities.sum(axis=1) - taken > ROUNDING
        impossible = np.flatnonzero(elsewhere & (logged.propensity > 1.0 - ROUNDING))
        if len(impossible):
            raise BayesPilotError(
                f"the {name} policy takes an action that the logging could not take: another was certain",
                where="rows, from 0",
                values=impossible.tolist(),
                next_step="leave these rows out, or ask about a policy that does there what was certain",
            )
        asked = (probabilities > 0) & logged.differing[:, None]
        seen = np.isin(np.arange(asked.shape[1]), logged.action[logged.of_action(asked)])
        never = np.flatnonzero(asked.any(axis=0) & ~seen)
        if len(never):
            raise BayesPilotError(
                f"the {name} policy takes an action that was never logged where it would take it",
                where="action",
                values=never.tolist(),
                next_step="log more rows, or ask about another policy",
            )


def require_consistency(logged: LoggedActions, clusters: int) -> None:
    """Refuse propensities that contradict how often actions were taken.

    Whatever a policy does, the weights w = π(a_i) / p_i average 1 if p_i is right. By Bernstein's inequality a mean
    of n of them strays by g or more with probability exp(−n g² / 2 / (E w² + max w · g / 3)) at most, above 1, and
    without the last term below. E w² is the larger of two estimates: Σ w² / Σ w, from the rows that followed the
    policy, and the mean of Σ_a π(a)² / p(a), where of actions not taken only p ≤ 1 − p_i is known.

    Raises
    ------
    BayesPilotError
        Where a mean lies more than ``TOLERATED_GAP`` from 1, and so far that it happens once in a million times.
    """
    for name, probabilities in (("target", logged.policy), ("reference", logged.reference)):
        weight = logged.weight(probabilities)[logged.differing]
        total = float(weight.sum())
        if total == 0.0:
            continue
        mean, units = total / len(weight), clusters * len(weight) / len(logged.action)
        gap = mean - 1.0
        square = max(float((weight**2).sum()) / total, _mean_square_weight(logged, probabilities))
        spread = square + float(weight.max()) * max(gap, 0.0) / 3.0
        if abs(gap) > TOLERATED_GAP and units * gap**2 / 2.0 > ONCE_IN_A_MILLION * spread:
            raise BayesPilotError(
                f"the propensities contradict the actions: the weights of the {name} policy average {mean:.2f}, and"
                " would average 1 if what was done had the probabilities given",
                where="propensity",
                values=[f"{value:g}" for value in logged.propensity],
                next_step="give the probability with which each row's own action was taken, not that of another",
            )


def _mean_square_weight(logged: LoggedActions, probabilities: np.ndarray) -> float:
    """Return the mean of Σ_a π(a)² / p(a) over the rows where policies differ, from below; exact with two actions."""
    done = logged.of_action(probabilities) ** 2
    others = (probabilities**2).sum(axis=1) - done
    squares = done / logged.propensity + others / np.maximum(1.0 - logged.propensity, ROUNDING)
    return float(squares[logged.differing].mean())


def _action_costs(cost: ArrayLike | None, shape: tuple[int, int]) -> np.ndarray:
    """Return the cost of each action in each row, shape (n, k)."""
    if cost is None:
        return np.zeros(shape)
    if np.ndim(cost) == 2:
        table = as_numbers("cost", cost, shape)
    else:
        rows = as_numbers("cost", cost, (shape[0],) if np.ndim(cost) else ())
        table = np.broadcast_to(rows, shape[:1])[:, None] * (np.arange(shape[1]) > 0)
    _refuse("cost below 0", table, table < 0)
    return table


def _array(name: str, values: ArrayLike) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise BayesPilotError(
            f"{name} has rows of different lengths", next_step="give one entry per action in each row"
        ) from error


def _codes(name: str, values: ArrayLike) -> np.ndarray:
    codes = np.atleast_1d(_array(name, values))
    if not codes.size:
        raise BayesPilotError(f"{name} holds no rows", next_step="give at least two rows")
    if codes.ndim != 1 or not (np.issubdtype(codes.dtype, np.integer) or codes.dtype == np.bool_):
        raise BayesPilotError(
            f"{name} is not a list of whole numbers",
            values=codes.ravel().tolist(),
            next_step="number the actions from 0, which is to leave the customer alone",
        )
    return codes.astype(np.int64)


def _probabilities(name: str, policy: ArrayLike, shape: tuple[int, int]) -> np.ndarray:
    """Return a policy as probabilities, shape (n, k), from actions or probabilities."""
    if np.ndim(policy) == 2:
        table = as_numbers(name, policy, shape)
        wrong = (table < 0).any(axis=1) | (np.abs(table.sum(axis=1) - 1.0) > ROUNDING)
        _refuse(f"probabilities of {name} do not add up to 1", table.sum(axis=1), wrong)
        return table
    codes = np.asarray(policy)
    if codes.ndim and len(codes) != shape[0]:
        raise BayesPilotError(f"{name} has {len(codes)} rows instead of {shape[0]}")
    return (np.arange(shape[1]) == np.broadcast_to(codes, shape[0])[:, None]).astype(float)


def _refuse(what: str, values: np.ndarray, wrong: np.ndarray) -> None:
    if wrong.any():
        raise BayesPilotError(
            what, where=f"first row {int(np.argwhere(wrong)[0][0])}", values=values[wrong].tolist()
        )


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


@dataclass(frozen=True)
class _Parts:
    """Value; influence of each row on it; and the weight and error whose product is what luck adds, (n,)."""

    value: float
    influence: np.ndarray
    weight: np.ndarray
    error: np.ndarray


def policy_value(
    action: ArrayLike,
    propensity: ArrayLike,
    reward: ArrayLike,
    target: ArrayLike,
    *,
    method: Method,
    reference: ArrayLike | None = None,
    predicted_reward: ArrayLike | None = None,
    cost: ArrayLike | None = None,
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
    cost : float, or array-like of shape (n,) or (n, k), optional
        What an action costs, in the unit of the reward, where ``reward`` and ``predicted_reward`` do not hold it
        yet: per row and action, or one number per row (or for all) that every action but 0 costs.
    cluster : array-like of shape (n,), optional
        Rows of one cluster depend on each other, such as months of one customer. The standard error is then
        robust to it (Liang & Zeger, 1986).

    Raises
    ------
    BayesPilotError
        If an input has a wrong shape or is not finite, a propensity lies outside (0, 1], a cost is negative, the
        policy or the reference takes an action that the logging could not take or never took, the propensities
        contradict how often actions were taken, all errors are 0, or there is one cluster only.

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

    Contacts cost 0.5 for the first customer and 1.5 for the others:

    >>> cost = [0.5, 1.5, 1.5, 1.5]
    >>> policy_value(*logged, [1] * 4, reference=0, cost=cost, method="snips").value  # 2 − (0.5 + 1.5) / 2
    1.0
    """
    if method not in get_args(Method):
        raise BayesPilotError("unknown method", values=[method], next_step='use "dr", "snips" or "ips"')
    logged = read_logged(action, propensity, reward, target, reference, predicted_reward)
    require_support(logged)
    costs = _action_costs(cost, logged.policy.shape)
    logged = replace(logged, reward=logged.reward - logged.of_action(costs))
    if method == "dr":
        if predicted_reward is None:
            raise BayesPilotError('method "dr" needs predicted_reward', next_step='give it, or use "snips"')
        parts = _doubly_robust(logged, np.asarray(predicted_reward, dtype=float) - costs)
    else:
        parts = (_self_normalised if method == "snips" else _inverse_propensity)(logged)
    size = _effective_sample_size(logged)
    summed, clusters = _sum_clusters(parts.influence, cluster)
    require_consistency(logged, clusters)
    steadied = _steadying(parts, logged.differing, size) * clusters / (clusters - 1.0)
    scale = float(np.abs(logged.reward).max()) / clusters
    estimate = student_interval(parts.value, summed * np.sqrt(steadied), scale=scale)
    return PolicyValue(
        **vars(estimate),
        method=method,
        rows=len(parts.influence),
        clusters=clusters,
        effective_sample_size=size,
    )


def _inverse_propensity(logged: LoggedActions) -> _Parts:
    weight = logged.weight(logged.policy) - logged.weight(logged.reference)
    return _mean(weight * logged.reward, weight, logged.reward)


def _doubly_robust(logged: LoggedActions, predicted: np.ndarray) -> _Parts:
    weight = logged.weight(logged.policy) - logged.weight(logged.reference)
    surprise = logged.reward - logged.of_action(predicted)
    expected = ((logged.policy - logged.reference) * predicted).sum(axis=1)
    return _mean(expected + weight * surprise, weight, surprise)


def _mean(contributions: np.ndarray, weight: np.ndarray, error: np.ndarray) -> _Parts:
    value = float(contributions.mean())
    return _Parts(value, (contributions - value) / len(contributions), weight, error)


def _self_normalised(logged: LoggedActions) -> _Parts:
    value, weights, errors = 0.0, [], []
    for sign, probabilities in ((1.0, logged.policy), (-1.0, logged.reference)):
        weight = logged.weight(probabilities)
        total = float(weight.sum()) or 1.0  # zero only where there is no reference
        mean = float((weight * logged.reward).sum()) / total
        value += sign * mean
        weights.append(sign * weight / total)
        errors.append(logged.reward - mean)
    influence = weights[0] * errors[0] + weights[1] * errors[1]
    return _Parts(value, influence, weights[0] + weights[1], np.where(weights[0] > 0, *errors))


def _steadying(parts: _Parts, differing: np.ndarray, size: float) -> float:
    """Return the factor by which the variance is drawn towards that of errors alike under all actions.

    Of 30 customers left alone by luck hardly any may leave. Contacting then looks worse than it is *and* the
    errors of the 30 look small, while the many who were contacted show how large errors are. Their
    Σ d² · mean e² counts like ``STEADYING_ROWS`` rows beside the Σ d² e² of the rows themselves, which alone
    decides as rows grow.
    """
    weight, error = parts.weight[differing], parts.error[differing]
    own = float(((weight * error) ** 2).sum())
    if own == 0.0 or size == 0.0:
        return 1.0
    alike = float((weight**2).sum()) * float((error**2).mean())
    return (size + STEADYING_ROWS * alike / own) / (size + STEADYING_ROWS)


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
            sizes.append(float(weight.sum() ** 2 / (weight**2).sum()))
    return min(sizes, default=0.0)
