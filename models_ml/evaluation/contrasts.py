"""Two plain contrasts with customers who were left alone at random, and the moments that they are made from.

The *universal holdout* is never touched: against it stands the whole programme, everybody counted. The
*pick-holdout* is left alone after it was chosen: that contrast sits exactly where the policy acts. Count, mean and
central moments can be added up from parts, so that no step has to hold all customers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from models_ml.errors import BayesPilotError
from models_ml.evaluation.arrays import as_numbers
from models_ml.evaluation.intervals import STEADYING_ROWS, Estimate, interval_from_sums
from models_ml.evaluation.policy_value import PolicyValue, policy_value


@dataclass(frozen=True)
class Moments:
    """``count`` n, ``mean``, and Σ (y − mean)ᵏ for k = 2, 3, 4, in the unit of the numbers to that power."""

    count: int
    mean: float
    square: float
    cube: float
    fourth: float

    @classmethod
    def of(cls, values: np.ndarray) -> Moments:
        """Return the moments of an array of shape (n,); zeros where n = 0.

        Examples
        --------
        >>> Moments.of(np.array([-3.0, -1.0, 1.0, 3.0]))
        Moments(count=4, mean=0.0, square=20.0, cube=0.0, fourth=164.0)
        """
        if not len(values):
            return cls(0, 0.0, 0.0, 0.0, 0.0)
        mean = float(values.mean())
        away = values - mean
        square = away**2
        return cls(
            len(values), mean, float(square.sum()), float((square * away).sum()), float((square**2).sum())
        )

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both parts together.

        Source: Pébay (2008), "Formulas for robust, one-pass parallel computation of covariances and
        arbitrary-order statistical moments", equations 2.1, 3.1 and 3.2.
        """
        if not self.count or not other.count:
            return self if self.count else other
        one, two = float(self.count), float(other.count)
        total, gap = one + two, other.mean - self.mean
        square = self.square + other.square + gap**2 * one * two / total
        cube = (
            self.cube
            + other.cube
            + gap**3 * one * two * (one - two) / total**2
            + 3.0 * gap * (one * other.square - two * self.square) / total
        )
        fourth = (
            self.fourth
            + other.fourth
            + gap**4 * one * two * (one**2 - one * two + two**2) / total**3
            + 6.0 * gap**2 * (one**2 * other.square + two**2 * self.square) / total**2
            + 4.0 * gap * (one * other.cube - two * self.cube) / total
        )
        return Moments(self.count + other.count, self.mean + gap * two / total, square, cube, fourth)

    @property
    def variance(self) -> float:
        """Variance of one number, Σ (y − mean)² / (n − 1); needs two numbers."""
        return self.square / (self.count - 1.0)


def universal_holdout_contrast(
    reward: ArrayLike, is_holdout: ArrayLike, *, customer: ArrayLike, weight: ArrayLike | None = None
) -> Estimate:
    """Difference of mean reward per customer, programme minus universal holdout, with a 95 % interval.

    Rewards of one customer are added up over rows first: a customer who left in the first month has no second one,
    and comparing only those who are still there would compare different people.

    Parameters
    ----------
    reward : array-like of shape (n,), money
    is_holdout : array-like of shape (n,), bool
        The same for all rows of a customer.
    customer : array-like of shape (n,)
    weight : array-like of shape (n,), >= 0, optional
        1 / propensity where the policy was followed, 0 where what it chose was withheld: the contrast is
        then that of a programme that withholds nothing. 1 by default: the programme as it was.

    Raises
    ------
    BayesPilotError
        If a length differs, a reward is not finite, a group holds fewer than two customers, a customer belongs
        to both groups, or all rewards are alike.

    Examples
    --------
    Customers a and b cost 3 and 1 in all, c and d of the holdout 4 and 6; s² / n is 2 / 2 twice.

    >>> contrast = universal_holdout_contrast(
    ...     [-1, -2, -1, -4, -6], [False, False, False, True, True], customer=list("aabcd"))
    >>> contrast.value, round(contrast.standard_error**2, 9)
    (3.0, 2.0)
    """
    rewards = as_numbers("reward", reward)
    columns = {"reward": rewards, "is_holdout": np.asarray(is_holdout), "customer": np.asarray(customer)}
    columns |= {} if weight is None else {"weight": as_numbers("weight", weight)}
    shapes = [f"{name} {column.shape}" for name, column in columns.items()]
    if rewards.ndim != 1 or len({column.shape for column in columns.values()}) > 1:
        raise BayesPilotError(
            "the columns are not of the same rows", values=shapes, next_step="give one entry for each row"
        )
    names, position = np.unique(columns["customer"], return_inverse=True)
    held = np.bincount(position, columns["is_holdout"].astype(bool)) / np.bincount(position)
    if ((held > 0) & (held < 1)).any():
        raise BayesPilotError(
            "customers belong to both groups", values=names[(held > 0) & (held < 1)].tolist()
        )
    total = np.bincount(position, rewards * columns.get("weight", 1.0), len(names))
    return contrast_of_moments(Moments.of(total[held == 0]), Moments.of(total[held > 0]))


def contrast_of_moments(treated: Moments, untouched: Moments) -> Estimate:
    """Return the difference of two means from the moments of both groups.

    Of a few dozen customers left alone perhaps none leaves, and their own variance is then 0. Each group's is drawn
    towards the pooled one by the weight of ``STEADYING_ROWS`` customers, as `policy_value` does.

    Raises
    ------
    BayesPilotError
        If a group holds fewer than two customers, or all numbers of both groups are alike.

    Examples
    --------
    >>> contrast = contrast_of_moments(Moments.of(np.array([-3.0, -1.0])), Moments.of(np.array([-4.0, -6.0])))
    >>> contrast.value, round(contrast.standard_error**2, 9)
    (3.0, 2.0)
    """
    groups = {"programme": treated, "universal holdout": untouched}
    for name, group in groups.items():
        if group.count < 2:
            raise BayesPilotError(f"the {name} holds fewer than two customers", values=[group.count])
    pooled = (treated.square + untouched.square) / (treated.count + untouched.count - 2.0)
    variance = fourth = 0.0  # of the difference; the fourth moment says how far the variance itself is off
    for group in groups.values():
        steadied = (group.square / (group.count - 1.0) * group.count + STEADYING_ROWS * pooled) / (
            group.count + STEADYING_ROWS
        )
        variance += steadied / group.count
        shape = group.fourth / group.square**2 if group.square > 0 else 1.0 / group.count
        fourth += shape * (steadied / group.count) ** 2
    value = treated.mean - untouched.mean
    scale = abs(treated.mean) + abs(untouched.mean)
    return interval_from_sums(value, variance, fourth, treated.count + untouched.count, scale=scale)


def pick_holdout_contrast(
    reward: ArrayLike, is_contacted: ArrayLike, propensity: ArrayLike, *, customer: ArrayLike
) -> PolicyValue:
    """Difference of weighted mean rewards, contacted minus left alone, among chosen customers only.

    It is :func:`policy_value` with "snips", contacting everyone chosen against contacting nobody.

    Parameters
    ----------
    reward : array-like of shape (n,), money
    is_contacted : array-like of shape (n,), bool
        As assigned, executed or not.
    propensity : array-like of shape (n,), in (0, 1)
        Probability of what was assigned.
    customer : array-like of shape (n,)

    Raises
    ------
    BayesPilotError
        As :func:`policy_value`; above all where nobody chosen was left alone.

    Examples
    --------
    >>> pick_holdout_contrast([5, 3, 1, 2], [True, True, False, False], [0.5] * 4, customer=list("abcd")).value
    2.5
    """
    action = np.asarray(is_contacted, dtype=np.int64)
    target = np.ones_like(action)
    return policy_value(action, propensity, reward, target, reference=0, method="snips", cluster=customer)
