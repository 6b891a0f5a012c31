"""Prices of money and contacts: the Lagrangian dual by cutting planes within a trust region.

The dual function is a sum over customers. Near its minimum only few customers still change their choice: the
*contested* ones, whose best two options are worth nearly the same. The master problem therefore models contested
customers one by one, and all others by the whole choices seen at earlier prices (Dantzig-Wolfe). Its duals are
the next prices. Its optimum is a lower bound on the linear-programming optimum and every evaluation of the dual
is an upper bound, so the remaining gap is known. A box around the best prices (Marsten, Hogan and Blankenship
1975, "The boxstep method") keeps the first steps from overshooting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from models_ml.decisions.knapsack import Floats, Knapsack, Relaxed
from models_ml.errors import BayesPilotError

CONTESTED = 1_000  # customers modelled one by one: hundredths of a second of linear programming
SAMPLE_ONE_IN = 16  # each stage starts from the prices of a sample sixteen times smaller
ROUNDS = 80
KEPT_COLUMNS = 24
FINAL_PRECISION = 1e-10  # of the bound
SAMPLE_PRECISION = 1e-5  # finer would be spurious: prices of a sample are off by more
FIRST_REACH = 0.01  # of a price, the first size of the trust region
_HIGHS = {"dual_feasibility_tolerance": 1e-10, "primal_feasibility_tolerance": 1e-10}


@dataclass(frozen=True)
class Mixture:
    """Whole choices of all other customers, as differences from a base: ``usage`` (m, t) and ``value`` (t,)."""

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

    ``weights`` (t,) mix the columns, ``prices`` (m,) are the duals, ``value`` is the optimum, and ``beyond`` (m,)
    is by how much usage misses each limit because the box bounds its price.
    """

    row: NDArray[np.int64]
    offer: NDArray[np.int64]
    share: Floats
    weights: Floats
    prices: Floats
    value: float
    beyond: Floats


@dataclass(frozen=True)
class DualSolution:
    """Best prices found and a fractional plan around them.

    ``relaxed`` holds the bound and every customer's choice at the best prices. For the contested customers
    (``rows``) ``shares`` replace that choice; for all others it is mixed with the ``columns`` by
    ``shares.weights``, of which the last is the weight of choosing nothing.
    """

    relaxed: Relaxed
    rows: NDArray[np.int64]
    shares: Shares
    columns: tuple[Relaxed, ...]


def minimise_dual(problem: Knapsack, precision: float = FINAL_PRECISION) -> DualSolution:
    """Find the prices that minimise the bound, to ``precision`` relative to it.

    Large problems start from the prices of a sample; at most 1,000 customers are solved outright.
    """
    if problem.customers <= CONTESTED:
        rows = np.arange(problem.customers)
        shares = solve_shares(problem, rows, problem.limits)
        return DualSolution(problem.relax(shares.prices), rows, shares, ())
    start = minimise_dual(problem.sample(SAMPLE_ONE_IN), SAMPLE_PRECISION).relaxed.prices
    return _cutting_planes(problem, start, precision)


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
        What the base choice of all other customers leaves; negative only where a mixture can give back.
    mixture, box : optional
        Choices of all other customers; bounds of the prices. Without a box prices are only ≥ 0.
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
    uses = np.vstack([problem.cost[offer, rows[row]], problem.members[:, offer]])[active]
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


def _cutting_planes(problem: Knapsack, start: Floats, precision: float) -> DualSolution:
    best, columns = problem.relax(start), tuple[Relaxed, ...]()
    rows = contested(problem, best.prices)
    reach = FIRST_REACH * (best.prices + _price_scale(problem, best.bound))
    for _ in range(ROUNDS):
        shares = _master(problem, best, rows, columns, reach)
        tolerance = precision * best.bound
        held_back = float((shares.beyond * reach).sum())  # what a wider box would change, to first order
        if best.bound - shares.value <= tolerance and held_back <= tolerance:
            break
        seen = problem.relax(shares.prices)
        if seen.bound < best.bound:
            reach = np.where(np.abs(seen.prices - best.prices) >= 0.99 * reach, 2 * reach, reach)
            best, seen = seen, best
            rows = contested(problem, best.prices)
        else:
            reach = reach * (2.0 if held_back > tolerance >= best.bound - shares.value else 0.5)
        columns = (*columns[-KEPT_COLUMNS:], seen)
    else:
        shares = _master(problem, best, rows, columns, reach)
    return DualSolution(best, rows, shares, columns)


def _price_scale(problem: Knapsack, bound: float) -> Floats:
    """Return one percent of the highest price of each limit: the whole bound divided by the whole limit."""
    scale = np.zeros(len(problem.limits))
    scale[problem.active] = 0.01 * bound / problem.limits[problem.active]
    return scale


def contested(problem: Knapsack, prices: Floats) -> NDArray[np.int64]:
    """Return the 1,000 customers with the smallest margin between their best two options, in order."""
    margin = problem.margin(prices)
    last = np.partition(margin, CONTESTED - 1)[CONTESTED - 1]
    closer = np.flatnonzero(margin < last)
    return np.sort(np.concatenate([closer, np.flatnonzero(margin == last)[: CONTESTED - len(closer)]]))


def _master(
    problem: Knapsack, base: Relaxed, rows: NDArray[np.int64], columns: tuple[Relaxed, ...], reach: Floats
) -> Shares:
    """Solve for the contested ``rows``, with all other customers at ``base`` or a mixture of columns.

    Mixtures are written as differences from ``base``, which keeps the coefficients small once prices have
    settled; choosing nothing is always among them.
    """
    base_usage, base_value = outside(problem, base, rows)
    others = [outside(problem, column, rows) for column in columns]
    usage = np.array([*(used for used, _ in others), np.zeros_like(base_usage)]) - base_usage
    value = np.array([*(worth for _, worth in others), 0.0]) - base_value
    box = Box(np.maximum(base.prices - reach, 0.0), base.prices + reach)
    return solve_shares(
        problem, rows, problem.limits - base_usage, Mixture(usage.T, value), box, fixed_value=base_value
    )


def outside(problem: Knapsack, relaxed: Relaxed, rows: NDArray[np.int64]) -> tuple[Floats, float]:
    """Return usage (m,) and value of a whole choice without some rows."""
    usage, value = problem.use(relaxed.choice, rows)
    return relaxed.usage - usage, relaxed.value - value
