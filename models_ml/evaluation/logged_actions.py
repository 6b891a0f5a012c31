"""Logged actions, checked: what was done, how likely it was, what followed, and what a policy would do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from models_ml.errors import BayesPilotError

ROUNDING = 1e-9


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
    propensities = _numbers("propensity", propensity, count)
    _refuse("propensity outside (0, 1]", propensities, (propensities <= 0) | (propensities > 1))
    rewards = _numbers("reward", reward, count)
    policies = [target] if reference is None else [target, reference]
    expected = [] if predicted_reward is None else [predicted_reward]
    tables = [np.asarray(table) for table in (*policies, *expected) if np.ndim(table) == 2]
    named = [_codes("action of a policy", table) for table in policies if np.ndim(table) < 2]
    actions = tables[0].shape[1] if tables else 1 + max(int(codes.max(initial=0)) for codes in (done, *named))
    for codes in (done, *named):
        _refuse(f"action outside 0 to {actions - 1}", codes, (codes < 0) | (codes >= actions))
    for table in expected:
        _table("predicted_reward", table, (count, actions))
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


def _codes(name: str, values: ArrayLike) -> np.ndarray:
    codes = np.atleast_1d(np.asarray(values))
    if codes.ndim != 1 or not (np.issubdtype(codes.dtype, np.integer) or codes.dtype == np.bool_):
        raise BayesPilotError(f"{name} is not a list of whole numbers", values=codes.ravel().tolist())
    return codes.astype(np.int64)


def _numbers(name: str, values: ArrayLike, count: int) -> np.ndarray:
    return _table(name, values, (count,))


def _table(name: str, values: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    numbers = np.asarray(values, dtype=float)
    if numbers.shape != shape:
        raise BayesPilotError(f"{name} has shape {numbers.shape} instead of {shape}")
    _refuse(f"{name} is not finite", numbers, ~np.isfinite(numbers))
    return numbers


def _probabilities(name: str, policy: ArrayLike, shape: tuple[int, int]) -> np.ndarray:
    """Return a policy as probabilities, shape (n, k), from actions or probabilities."""
    if np.ndim(policy) == 2:
        table = _table(name, policy, shape)
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
