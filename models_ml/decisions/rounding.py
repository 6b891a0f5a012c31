"""From the fractional plan to a whole one: settle, repair, fill, and give ties in customer order."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from models_ml.decisions.knapsack import CONTESTED, DualSolution, Floats, Knapsack, outside, solve_shares

Choice = NDArray[np.int8]
WHOLE = 1e-6  # a share this close to 0 or 1 is whole
FILL_MOVES = 5_000
FILL_PASSES = 5
_GOLDEN = (math.sqrt(5) - 1) / 2


def round_plan(problem: Knapsack, dual: DualSolution) -> Choice:
    """Return a feasible choice (n,) near the fractional plan: −1 for nothing, else the offer."""
    choice, undecided = _mix(dual)
    if len(undecided):
        rows = np.union1d(dual.rows, _spread(undecided, CONTESTED))
        settled = choice.copy()
        settled[rows] = -1
        usage, _ = problem.use(settled)
        shares = solve_shares(problem, rows, np.maximum(problem.limits - usage, 0.0))
    else:
        rows, shares = dual.rows, dual.shares
    choice[rows] = -1
    whole = shares.share > 1 - WHOLE
    choice[shares.row[whole]] = shares.offer[whole]
    prices = dual.relaxed.prices
    choice = fill(problem, prices, repair(problem, prices, choice))
    return deal_ties(problem, dual.relaxed.choice, choice)


def _mix(dual: DualSolution) -> tuple[Choice, NDArray[np.int64]]:
    """Give each customer outside the contested rows one of the mixed choices, in proportion to the weights.

    Customers with the same offer in every column are alike to the mixture: the golden ratio spreads the choices
    evenly among them. Returns the choice and the customers on whom the columns disagree.
    """
    choice = dual.relaxed.choice.copy()
    weights = dual.shares.weights
    used = np.flatnonzero(weights > WHOLE)
    if not len(used):
        return choice, np.empty(0, np.int64)
    nothing = np.full(len(choice), -1, np.int8)
    options = np.array([choice, *((*(c.choice for c in dual.columns), nothing)[at] for at in used)])
    differs = (options != options[0]).any(axis=0)
    differs[dual.rows] = False
    mixed = np.flatnonzero(differs)
    shares = np.cumsum([max(1.0 - weights[used].sum(), 0.0), *weights[used]])
    _, group = np.unique(options[:, mixed], axis=1, return_inverse=True)
    for number in range(group.max(initial=-1) + 1):
        members = mixed[group == number]
        position = (0.5 + np.arange(len(members)) * _GOLDEN) % 1.0
        taken = np.minimum(np.searchsorted(shares, position), len(used))
        choice[members] = options[taken, members]
    return choice, mixed


def _spread(rows: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """Return at most ``wanted`` of ``rows``, evenly spread."""
    if len(rows) <= wanted:
        return rows
    return rows[np.linspace(0, len(rows) - 1, wanted).astype(np.int64)]


def fractional_usage(problem: Knapsack, dual: DualSolution) -> Floats:
    """Return the usage (m,) of the fractional plan."""
    usage, _ = outside(problem, dual.relaxed, dual.rows)
    weights = dual.shares.weights
    total = usage * (1.0 - weights.sum())
    for weight, column in zip(weights, dual.columns, strict=False):
        total += weight * outside(problem, column, dual.rows)[0]
    shares = dual.shares
    total[0] += float((problem.cost[shares.offer, shares.row] * shares.share).sum())
    total[1:] += problem.members @ np.bincount(shares.offer, shares.share, minlength=problem.offers)
    return total


def exact_usage(problem: Knapsack, choice: Choice) -> Floats:
    """Return the usage (m,) of a choice, money summed without rounding error."""
    rows = np.flatnonzero(choice >= 0)
    contacts = np.bincount(choice[rows], minlength=problem.offers)
    if problem.has_constant_costs:
        spend = math.fsum((problem.cost[:, 0] * contacts).tolist())
    else:
        spend = math.fsum(problem.cost[choice[rows], rows].tolist())
    return np.concatenate([[spend], problem.members @ contacts])


def repair(problem: Knapsack, prices: Floats, choice: Choice) -> Choice:
    """Drop the contacts of least value after prices until every limit holds."""
    choice = choice.copy()
    while ((usage := exact_usage(problem, choice)) > problem.limits).any():
        limit = int(np.flatnonzero(usage > problem.limits)[-1])
        rows = np.flatnonzero(choice >= 0)
        uses = (
            problem.cost[choice[rows], rows] if limit == 0 else problem.members[limit - 1, choice[rows]] * 1.0
        )
        rows, uses = rows[uses > 0], uses[uses > 0]
        worth = _worth(problem, prices, rows, choice[rows])
        order = np.lexsort((-rows, worth))
        enough = np.searchsorted(np.cumsum(uses[order]), usage[limit] - problem.limits[limit])
        choice[rows[order[: enough + 1]]] = -1
    return choice


def _worth(problem: Knapsack, prices: Floats, rows: NDArray[np.int64], offers: Choice) -> Floats:
    capacity_prices = prices[1:] @ problem.members
    return problem.value[offers, rows] - prices[0] * problem.cost[offers, rows] - capacity_prices[offers]


def fill(problem: Knapsack, prices: Floats, choice: Choice) -> Choice:
    """Use what is left of the limits: make contacts that add value, the best after prices first."""
    choice = choice.copy()
    for _ in range(FILL_PASSES):
        moves = _moves(problem, prices, choice)
        if not _accept(problem, choice, moves):
            break
    return choice


def _moves(problem: Knapsack, prices: Floats, choice: Choice) -> list[tuple[int, int]]:
    """List (customer, offer) moves that gain value and fit on their own, best first."""
    left = problem.limits - exact_usage(problem, choice)
    positions = np.arange(problem.customers)
    chosen = choice >= 0
    value, cost, worth = (np.zeros(problem.customers) for _ in range(3))
    rows = positions[chosen]
    value[rows], cost[rows] = problem.value[choice[rows], rows], problem.cost[choice[rows], rows]
    worth[rows] = _worth(problem, prices, rows, choice[rows])
    found: list[tuple[NDArray[np.int64], Floats, int]] = []
    for offer in range(problem.offers):
        if (left[1:][problem.members[:, offer]] < 1).any():
            continue
        fits = (problem.value[offer] > value) & (problem.cost[offer] - cost <= left[0])
        rows = np.flatnonzero(fits)
        gain = problem.reduced(prices, offer, rows) - worth[rows]
        found.append((rows, gain, offer))
    if not found:
        return []
    rows = np.concatenate([rows for rows, _, _ in found])
    gain = np.concatenate([gain for _, gain, _ in found])
    offers = np.concatenate([np.full(len(rows), offer) for rows, _, offer in found])
    if len(gain) > FILL_MOVES:
        best = np.flatnonzero(gain >= np.partition(gain, -FILL_MOVES)[-FILL_MOVES])
        rows, gain, offers = rows[best], gain[best], offers[best]
    order = np.lexsort((offers, rows, -gain))[:FILL_MOVES]
    return list(zip(rows[order].tolist(), offers[order].tolist(), strict=True))


def _accept(problem: Knapsack, choice: Choice, moves: list[tuple[int, int]]) -> int:
    """Make the moves that still fit, in order and in place; return how many."""
    usage, made = exact_usage(problem, choice), 0
    for row, offer in moves:
        before = choice[row]
        change = np.concatenate([[problem.cost[offer, row]], problem.members[:, offer] * 1.0])
        if before >= 0:
            if problem.value[offer, row] <= problem.value[before, row]:
                continue
            change -= np.concatenate([[problem.cost[before, row]], problem.members[:, before] * 1.0])
        if (usage + change <= problem.limits).all():
            usage = usage + change
            choice[row] = offer
            made += 1
    return made


def deal_ties(problem: Knapsack, base: Choice, choice: Choice) -> Choice:
    """Among customers with the same values and costs, give the better offers to the first in order."""
    raised = np.flatnonzero(choice != base)
    if not len(raised):
        return choice
    key = _fingerprint(problem)
    rows = np.flatnonzero(np.isin(key, key[raised]))
    rows = rows[np.argsort(key[rows], kind="stable")]
    columns = np.vstack([problem.value[:, rows], problem.cost[:, rows]])
    group = np.concatenate([[0], np.cumsum((columns[:, 1:] != columns[:, :-1]).any(axis=0))])
    taken = choice[rows]
    value = np.where(taken >= 0, problem.value[taken, rows], -np.inf)
    dealt = choice.copy()
    dealt[rows] = taken[np.lexsort((taken, -value, group))]
    return dealt


def _fingerprint(problem: Knapsack) -> NDArray[np.uint64]:
    key = np.zeros(problem.customers, np.uint64)
    for column in (*problem.value, *problem.cost):
        key = (key ^ np.ascontiguousarray(column).view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    return key
