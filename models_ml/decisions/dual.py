"""Prices of money and slots: the Lagrangian dual by cutting planes, contested customers one by one.

The dual function is a sum over customers, and near its minimum only the few *contested* customers, whose best
two options are nearly worth the same, still change their choice. So the master problem (a linear programme,
solved by HiGHS) models contested customers exactly and all others by whole choices seen at earlier prices: a
Dantzig-Wolfe master, whose duals are the next prices. Its optimum is a lower bound on the linear-programming
optimum and every evaluation of the dual an upper one, so the distance that is left is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from models_ml.decisions.knapsack import Floats, Knapsack, Relaxed
from models_ml.errors import BayesPilotError

CONTESTED = 4_000  # customers modelled one by one: a tenth of a second of linear programming
SAMPLE_ONE_IN = 16  # each stage starts from the prices of a sample sixteen times smaller
ROUNDS = 60
KEPT_COLUMNS = 24
FINAL_PRECISION = 1e-10  # of the bound
SAMPLE_PRECISION = 1e-6  # finer would be spurious: a sample's own prices are off by more
TINY = 1e-9
_HIGHS = {"dual_feasibility_tolerance": 1e-10, "primal_feasibility_tolerance": 1e-10}


@dataclass(frozen=True)
class Master:
    """Solution of the master problem: offers ``offer`` (e,) of customers ``row`` (e,) taken with ``share``.

    ``weight`` (t,) mixes the earlier choices for all customers outside ``rows``; ``value`` is the master's
    optimum and ``prices`` (m,) its duals.
    """

    rows: NDArray[np.int64]
    row: NDArray[np.int64]
    offer: NDArray[np.int64]
    share: Floats
    weight: Floats
    value: float
    prices: Floats


@dataclass(frozen=True)
class DualSolution:
    """Best prices found: ``relaxed`` holds the bound, ``master`` a primal solution around it.

    Outside the master's contested rows the primal solution is ``relaxed.choice``, mixed with ``columns``.
    """

    relaxed: Relaxed
    master: Master
    columns: tuple[Relaxed, ...]


def minimise_dual(problem: Knapsack, precision: float = FINAL_PRECISION) -> DualSolution:
    """Find the prices that minimise the bound, to ``precision`` relative to it.

    Large problems start from the prices of a sample; at most 4,000 customers are solved outright.
    """
    if problem.customers <= CONTESTED:
        start = np.zeros(len(problem.limits))
        rows = np.arange(problem.customers)
        nothing = Relaxed(start, np.inf, np.full(problem.customers, -1, np.int8), np.zeros_like(start), 0.0)
        master = solve_master(problem, rows, nothing, ())
        return DualSolution(problem.relax(master.prices), master, ())
    start = minimise_dual(problem.sample(SAMPLE_ONE_IN), SAMPLE_PRECISION).relaxed.prices
    return _cutting_planes(problem, start, precision)


def _cutting_planes(problem: Knapsack, start: Floats, precision: float) -> DualSolution:
    best = problem.relax(start)
    columns: list[Relaxed] = []
    rows = contested(problem, best.prices)
    for _ in range(ROUNDS):
        master = solve_master(problem, rows, best, tuple(columns))
        if best.bound - master.value <= precision * best.bound:
            break
        seen = problem.relax(master.prices)
        if seen.bound < best.bound:
            best, seen = seen, best
            rows = contested(problem, best.prices)
        columns = [*columns[-KEPT_COLUMNS:], seen]
    master = solve_master(problem, rows, best, tuple(columns))
    return DualSolution(best, master, tuple(columns))


def contested(problem: Knapsack, prices: Floats) -> NDArray[np.int64]:
    """Return the customers whose best two options are closest, ties by their order, ascending."""
    margin = problem.margin(prices)
    last = np.partition(margin, CONTESTED - 1)[CONTESTED - 1]
    closer = np.flatnonzero(margin < last)
    return np.sort(np.concatenate([closer, np.flatnonzero(margin == last)[: CONTESTED - len(closer)]]))


def solve_master(
    problem: Knapsack, rows: NDArray[np.int64], base: Relaxed, columns: tuple[Relaxed, ...]
) -> Master:
    """Solve the linear programme over contested ``rows`` and mixtures of whole choices for all others.

    The mixture is written as differences from ``base``, which keeps the coefficients small once prices have
    settled; choosing nothing is always among the columns, so that the programme is feasible.
    """
    row, offer = np.nonzero(np.isfinite(problem.value[:, rows]).T)
    active = np.flatnonzero(problem.active)
    base_usage, base_value = _outside(problem, base, rows)
    others = [_outside(problem, column, rows) for column in columns]
    others.append((np.zeros_like(base_usage), 0.0))
    usage = np.array([other[0] - base_usage for other in others]).T
    value = np.array([other[1] - base_value for other in others])
    cost = problem.cost[offer, rows[row]]
    uses = np.vstack([cost, problem.slots[:, offer].astype(np.float64)])
    shares, mixtures = len(row), len(others)
    per_customer = sparse.csr_matrix((np.ones(shares), (row, np.arange(shares))), (len(rows), shares))
    matrix = sparse.bmat(
        [
            [sparse.csr_matrix(uses[active]), sparse.csr_matrix(usage[active])],
            [per_customer, None],
            [None, sparse.csr_matrix(np.ones((1, mixtures)))],
        ],
        format="csr",
    )
    right = np.concatenate([problem.limits[active] - base_usage[active], np.ones(len(rows) + 1)])
    gain = np.concatenate([problem.value[offer, rows[row]], value])
    solution = linprog(-gain, A_ub=matrix, b_ub=right, method="highs-ds", options=_HIGHS)
    if solution.status != 0:
        raise BayesPilotError(f"the price search failed: {solution.message}", where="choose_actions")
    prices = np.zeros(len(problem.limits))
    prices[active] = np.maximum(-solution.ineqlin.marginals[: len(active)], 0.0)
    return Master(
        rows, rows[row], offer, solution.x[:shares], solution.x[shares:], base_value - solution.fun, prices
    )


def _outside(problem: Knapsack, relaxed: Relaxed, rows: NDArray[np.int64]) -> tuple[Floats, float]:
    """Usage and value of a whole choice without the contested rows."""
    if not (relaxed.choice >= 0).any():
        return np.zeros(len(problem.limits)), 0.0
    usage, value = problem.use(relaxed.choice, rows)
    return relaxed.usage - usage, relaxed.value - value
