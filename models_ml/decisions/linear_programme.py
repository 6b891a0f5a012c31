"""The linear programme behind the prices: some customers one by one, the others as mixtures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from models_ml.decisions.knapsack import Floats, Knapsack
from models_ml.errors import BayesPilotError

_HIGHS = {"dual_feasibility_tolerance": 1e-10, "primal_feasibility_tolerance": 1e-10}


@dataclass(frozen=True)
class Mixture:
    """Whole choices of everyone else, as differences from a base: ``usage`` (m, t) and ``value`` (t,)."""

    usage: Floats
    value: Floats


@dataclass(frozen=True)
class Box:
    """Lowest and highest price (m,) that a step may reach."""

    low: Floats
    high: Floats


@dataclass(frozen=True)
class Shares:
    """A fractional plan: customer ``row`` (e,) takes ``offer`` (e,) with ``share`` (e,).

    ``weights`` (t,) mix the columns, ``prices`` (m,) are the duals, ``value`` is the optimum, and ``beyond``
    (m,) how far the box lets usage miss a limit.
    """

    row: NDArray[np.int64]
    offer: NDArray[np.int64]
    share: Floats
    weights: Floats
    prices: Floats
    value: float
    beyond: Floats


def solve_shares(
    problem: Knapsack,
    rows: NDArray[np.int64],
    left: Floats,
    mixture: Mixture | None = None,
    box: Box | None = None,
    fixed_value: float = 0.0,
) -> Shares:
    """Maximise the value of ``rows`` and mixtures within what is ``left`` (m,) of the active limits.

    Parameters
    ----------
    problem : Knapsack
        Values and costs; only active limits bind.
    rows : ndarray of int
        Customers modelled one by one.
    left : ndarray of shape (m,)
        What the base choice of everyone else leaves; negative only where a mixture can give back.
    mixture, box : optional
        Choices of everyone else; bounds of the prices. Without a box prices are only ≥ 0.
    fixed_value : float
        Value of the base choice, added to the optimum.

    Returns
    -------
    Shares
        A vertex: no more customers are split than there are active limits and mixtures.

    Raises
    ------
    BayesPilotError
        When HiGHS finds no optimum.
    """
    row, offer = np.nonzero(np.isfinite(problem.value[:, rows]).T)
    active = np.flatnonzero(problem.active)
    entries, limits = len(row), len(active)
    uses = np.vstack([problem.cost[offer, rows[row]], problem.slots[:, offer]])[active]
    per_customer = sparse.csr_matrix((np.ones(entries), (row, np.arange(entries))), (len(rows), entries))
    gain = problem.value[offer, rows[row]]
    right = np.concatenate([left[active], np.ones(len(rows))])
    top, below = [sparse.csr_matrix(uses)], [per_customer]
    if mixture is not None:
        top.append(sparse.csr_matrix(mixture.usage[active]))
        gain = np.concatenate([gain, mixture.value])
    mixtures = len(gain) - entries
    if box is not None:  # a bounded price is a limit that may be missed at that price
        top += [sparse.identity(limits), -sparse.identity(limits)]
        gain = np.concatenate([gain, box.low[active], -box.high[active]])
    blocks = [[*top], [*below, *[None] * (len(top) - 1)]]
    if mixtures:
        blocks.append([None, sparse.csr_matrix(np.ones((1, mixtures))), *[None] * (len(top) - 2)])
        right = np.append(right, 1.0)
    matrix = sparse.bmat(blocks, format="csr")
    found = linprog(-gain, A_ub=matrix, b_ub=right, method="highs-ds", options=_HIGHS)
    if found.status != 0:
        raise BayesPilotError(f"the price search found no optimum: {found.message}", where="choose_actions")
    prices, beyond = np.zeros(len(problem.limits)), np.zeros(len(problem.limits))
    prices[active] = np.maximum(-found.ineqlin.marginals[:limits], 0.0)
    if box is not None:
        under, over = found.x[entries + mixtures :].reshape(2, limits)
        beyond[active] = over + np.where(box.low[active] > 0, under, 0.0)
    weights = found.x[entries : entries + mixtures]
    value = fixed_value - float(found.fun)
    return Shares(rows[row], offer, found.x[:entries], weights, prices, value, beyond)
