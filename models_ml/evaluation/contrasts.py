"""Two plain contrasts with customers who were left alone at random, and how long until one tells.

The *universal holdout* is never touched: against it stands the whole programme, everybody counted. The
*pick-holdout* is left alone after it was chosen: that contrast sits exactly where the policy acts.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from models_ml.errors import BayesPilotError
from models_ml.evaluation.intervals import STEADYING_ROWS, Estimate, student_interval
from models_ml.evaluation.policy_value import PolicyValue, policy_value

LONGEST_WAIT_MONTHS = 120  # beyond ten years nobody waits, and the rate will not last


def universal_holdout_contrast(
    reward: ArrayLike, is_holdout: ArrayLike, *, customer: ArrayLike, weight: ArrayLike | None = None
) -> Estimate:
    """Difference of mean reward per customer, programme minus universal holdout, with a 95 % interval.

    Rewards of one customer are added up over rows first: whoever left in the first month has no second one,
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
        If a group holds fewer than two customers, or a customer belongs to both.

    Examples
    --------
    Customers a and b cost 3 and 1 in all, c and d of the holdout 4 and 6; s² / n is 2 / 2 twice.

    >>> contrast = universal_holdout_contrast(
    ...     [-1, -2, -1, -4, -6], [False, False, False, True, True], customer=list("aabcd"))
    >>> contrast.value, round(contrast.standard_error**2, 9)
    (3.0, 2.0)
    """
    names, position = np.unique(np.asarray(customer), return_inverse=True)
    held = np.bincount(position, np.asarray(is_holdout, dtype=bool)) / np.bincount(position)
    if ((held > 0) & (held < 1)).any():
        raise BayesPilotError(
            "customers belong to both groups", values=names[(held > 0) & (held < 1)].tolist()
        )
    weighted = np.asarray(reward, dtype=float) * (1.0 if weight is None else np.asarray(weight))
    return contrast_of_totals(np.bincount(position, weighted), held > 0, np.ones(len(names)))


def contrast_of_totals(total: np.ndarray, is_holdout: np.ndarray, customers: np.ndarray) -> Estimate:
    """Return the contrast from totals per customer, equal ones counted together.

    Of a few dozen customers left alone perhaps none leaves, and their own variance is then 0. Each group's is drawn
    towards the pooled one by the weight of ``STEADYING_ROWS`` customers, as `policy_value` does.

    Parameters
    ----------
    total : ndarray of shape (m,), money
    is_holdout : ndarray of shape (m,), bool
    customers : ndarray of shape (m,), >= 1
        How many customers have this total.

    Raises
    ------
    BayesPilotError
        If a group holds fewer than two customers.
    """
    groups = {1.0: ~is_holdout, -1.0: is_holdout}
    sizes = {sign: float(customers[members].sum()) for sign, members in groups.items()}
    for sign, size in sizes.items():
        if size < 2:
            group = "universal holdout" if sign < 0 else "programme"
            raise BayesPilotError(f"the {group} holds fewer than two customers", values=[int(size)])
    value, away = 0.0, np.zeros(len(total))
    for sign, members in groups.items():
        mean = float((customers[members] * total[members]).sum()) / sizes[sign]
        value += sign * mean
        away[members] = sign * (total[members] - mean)
    square = {sign: float((customers[of] * away[of] ** 2).sum()) for sign, of in groups.items()}
    pooled = sum(square.values()) / (sum(sizes.values()) - 2.0)
    influence = np.zeros(len(total))
    for sign, members in groups.items():
        size, own = sizes[sign], square[sign] / (sizes[sign] - 1.0)
        steadied = (size * own + STEADYING_ROWS * pooled) / (size + STEADYING_ROWS)
        shape = away[members] / math.sqrt(own) if own > 0 else np.ones(int(members.sum()))
        influence[members] = shape * math.sqrt(steadied / (size * (size - 1.0 if own > 0 else size)))
    return student_interval(value, influence, customers)


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


def months_needed(estimate: Estimate, months: int) -> int | None:
    """How many more months at the present rate until the interval leaves out zero; 0 where it does.

    Errors shrink with the square root of the months: months · (half width / value)² are needed in all.

    Parameters
    ----------
    estimate : Estimate
    months : int, >= 1
        Months that the estimate rests on.

    Returns
    -------
    int or None
        None where it would take more than ten years.

    Examples
    --------
    >>> months_needed(Estimate(10.0, 10.0, -10.0, 30.0, 50.0), months=2)  # 2 · (20 / 10)² = 8 months in all
    6
    """
    if estimate.is_distinguishable:
        return 0
    half = (estimate.high - estimate.low) / 2.0
    if half == 0 or abs(estimate.value) * math.sqrt(LONGEST_WAIT_MONTHS + months) <= half * math.sqrt(months):
        return None
    return max(1, math.ceil(months * (half / estimate.value) ** 2 - 1e-9) - months)


def verdict(estimate: Estimate, months: int) -> str:
    """Say in one sentence what an estimate shows.

    Examples
    --------
    >>> verdict(Estimate(10.0, 10.0, -10.0, 30.0, 50.0), months=2)
    'not yet distinguishable from zero; about 6 more months at the present rate would show it'
    """
    if estimate.is_distinguishable:
        return (
            "earns more than contacting nobody" if estimate.value > 0 else "loses against contacting nobody"
        )
    more = months_needed(estimate, months)
    if more is None:
        return "not yet distinguishable from zero; at the present rate ten years would not show it"
    return (
        f"not yet distinguishable from zero; about {more} more month{'s' * (more > 1)} at the present rate would"
        " show it"
    )
