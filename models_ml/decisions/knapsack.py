"""The choice as a multiple-choice knapsack, its Lagrangian relaxation, and the prices of money and contacts.

The prices minimise the dual function, a sum over customers, by cutting planes within a trust region. Near its minimum
only few customers still change their choice: the *contested* ones, whose best two options are worth nearly the same.
The master problem therefore models contested customers one by one, and all others by the whole choices seen at
earlier prices (Dantzig-Wolfe). Its duals are the next prices. Its optimum is a lower bound on the linear-programming
optimum and every evaluation of the dual is an upper bound, so the remaining gap is known. A box around the best
prices (Marsten, Hogan and Blankenship 1975, "The boxstep method") keeps the first steps from overshooting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from models_ml.decisions.limits import Limits
from models_ml.errors import BayesPilotError

Floats = NDArray[np.float64]
CHUNK = 1 << 18  # rows per pass: temporaries stay in the cache, and partial sums have a fixed order
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing: consecutive rows spread evenly

CONTESTED = 1_000  # customers modelled one by one: hundredths of a second of linear programming
SAMPLE_ONE_IN = 16  # each stage starts from the prices of a sample sixteen times smaller
ROUNDS = 80
KEPT_COLUMNS = 24
FINAL_PRECISION = 1e-10  # of the bound
SAMPLE_PRECISION = 1e-5  # finer would be spurious: prices of a sample are off by more
FIRST_REACH = 0.01  # of a price, the first size of the trust region
_HIGHS = {"dual_feasibility_tolerance": 1e-10, "primal_feasibility_tolerance": 1e-10}


@dataclass(frozen=True)
class Relaxed:
    """The relaxed problem at prices: each customer takes the best offer after paying for what it uses.

    ``bound`` is the dual value (no feasible plan is worth more), ``choice`` (n,) int8 with −1 for nothing,
    ``usage`` (m,) and ``value`` what that choice uses and is worth before prices.
    """

    prices: Floats
    bound: float
    choice: NDArray[np.int8]
    usage: Floats
    value: float


@dataclass(frozen=True)
class Knapsack:
    """Maximise Σ value x with at most one offer per customer, within m ``limits``.

    ``value`` (k, n) is −inf where an offer cannot be chosen, ``cost`` (k, n) may be a broadcast view.
    Limit 0 is money; limit j > 0 counts the contacts of the offers in ``members[j − 1]``, bool of shape
    (m − 1, k). Limits that are not ``active`` (m,) have price 0.
    """

    value: Floats
    cost: Floats
    members: NDArray[np.bool_]
    limits: Floats
    active: NDArray[np.bool_]

    @property
    def customers(self) -> int:
        """Number of customers n."""
        return self.value.shape[1]

    @property
    def offers(self) -> int:
        """Number of offers k."""
        return self.value.shape[0]

    @property
    def has_constant_costs(self) -> bool:
        """Whether an offer costs the same for everyone, held as a broadcast view."""
        return self.customers > 0 and self.cost.strides[1] == 0

    def reduced(self, prices: Floats, offer: int, rows: slice | NDArray[np.int64]) -> Floats:
        """Return the value of one offer after paying for the money and contacts that it uses, for some rows."""
        capacity_price = float(prices[1:][self.members[:, offer]].sum())
        return self.value[offer, rows] - (prices[0] * self.cost[offer, rows] + capacity_price)

    def relax(self, prices: Floats) -> Relaxed:
        """Evaluate the dual function at ``prices`` (m,) ≥ 0."""
        choice = np.full(self.customers, -1, dtype=np.int8)
        sums: list[float] = []
        for start in range(0, self.customers, CHUNK):
            rows = slice(start, min(start + CHUNK, self.customers))
            best = np.zeros(rows.stop - start)
            for offer in range(self.offers):
                reduced = self.reduced(prices, offer, rows)
                choice[rows][reduced > best] = offer
                np.maximum(best, reduced, out=best)
            sums.append(float(best.sum()))
        usage, value = self.use(choice)
        priced = prices > 0
        bound = math.fsum([*sums, *(prices[priced] * self.limits[priced]).tolist()])
        return Relaxed(prices, bound, choice, usage, value)

    def use(self, choice: NDArray[np.int8], rows: NDArray[np.int64] | None = None) -> tuple[Floats, float]:
        """Return usage (m,) and value of a choice, of all customers or of some ``rows``."""
        chosen = np.arange(self.customers) if rows is None else rows
        chosen = chosen[choice[chosen] >= 0]
        offers = choice[chosen]
        contacts = np.bincount(offers, minlength=self.offers).astype(np.float64)
        spend = chunked_sum(self.cost[offers, chosen])
        usage = np.concatenate([[spend], self.members @ contacts])
        return usage, chunked_sum(self.value[offers, chosen])

    def margin(self, prices: Floats) -> Floats:
        """Return the lead of each customer's best option over the second best, (n,) ≥ 0; no offer is an option."""
        margin = np.empty(self.customers)
        for start in range(0, self.customers, CHUNK):
            rows = slice(start, min(start + CHUNK, self.customers))
            best, second = np.zeros(rows.stop - start), np.full(rows.stop - start, -np.inf)
            for offer in range(self.offers):
                reduced = self.reduced(prices, offer, rows)
                np.maximum(second, np.minimum(best, reduced), out=second)
                np.maximum(best, reduced, out=best)
            margin[rows] = best - second
        return margin

    def take(self, rows: NDArray[np.int64]) -> Knapsack:
        """Return the same problem for some customers; the limits stay."""
        if self.has_constant_costs:
            cost = np.broadcast_to(self.cost[:, :1], (self.offers, len(rows)))
        else:
            cost = self.cost[:, rows]
        return replace(self, value=self.value[:, rows], cost=cost)

    def sample(self, one_in: int) -> Knapsack:
        """Return about one customer in ``one_in``, spread evenly, with limits in proportion."""
        scattered = np.arange(self.customers, dtype=np.uint64) * _GOLDEN
        rows = np.flatnonzero(scattered < np.uint64((1 << 64) // one_in))
        share = len(rows) / self.customers
        return replace(self.take(rows), limits=self.limits * share)

    def without_dominated(self) -> Knapsack:
        """Drop offers that another offer of the same customer beats in value at no more cost.

        Valid only while no capacity binds: when the better offer is full, the dominated one is what remains.
        """
        value = self.value.copy()
        for worse in range(self.offers):
            for better in range(self.offers):
                if better == worse:
                    continue
                dominated = (self.value[better] >= self.value[worse]) & (
                    self.cost[better] <= self.cost[worse]
                )
                if better > worse:  # of two equal offers the first stays
                    same = (self.value[better] == self.value[worse]) & (self.cost[better] == self.cost[worse])
                    dominated &= ~same
                value[worse][dominated] = -np.inf
        return replace(self, value=value)


def chunked_sum(values: Floats) -> float:
    """Sum in a stated order: pairwise within chunks, chunks exactly; independent of threads and machines.

    Examples
    --------
    >>> chunked_sum(np.array([0.25, 0.5]))
    0.75
    """
    return math.fsum(float(values[at : at + CHUNK].sum()) for at in range(0, len(values), CHUNK))


@dataclass(frozen=True)
class Scaled:
    """A knapsack, the input row of each of its customers (n',), and the units of its values and costs."""

    problem: Knapsack
    rows: NDArray[np.int64]
    value_unit: float
    money_unit: float


def scale(
    value: Floats,
    cost: Floats,
    allowed: NDArray[np.bool_],
    limits: Limits,
    touch_price: float,
    order: NDArray[np.int64],
) -> Scaled:
    """Build the knapsack from (n, k) values and costs, customers in ``order``.

    Customers without an offer of positive value are left out, and so are offers that a limit of 0 closes. Money
    is divided by a power of two, which changes no bit of a mantissa: scaling all money by a power of two changes
    no decision.
    """
    members = np.vstack([np.eye(len(limits.offer_capacity), dtype=bool), limits.channel_members])
    capacity = np.concatenate([limits.offer_capacity, limits.channel_capacities])
    useful = allowed & (value - touch_price > 0) & ~members[capacity == 0].any(axis=0)
    if limits.budget == 0:
        useful &= cost == 0
    rows = order[useful.any(axis=1)[order]]
    unit, money = _power_of_two(value, useful), _power_of_two(cost, useful)
    values = np.full((value.shape[1], len(rows)), -np.inf)
    for offer in range(value.shape[1]):
        keep = useful[rows, offer]
        values[offer, keep] = (value[rows[keep], offer] - touch_price) / unit
    if len(rows) and (cost == cost[:1]).all():
        costs = np.broadcast_to(cost[:1].T / money, values.shape)
    else:
        costs = np.ascontiguousarray(cost[rows].T) / money
    amounts = np.concatenate([[limits.budget / money], capacity])
    highest = np.max(costs, axis=0, where=np.isfinite(values), initial=0.0)
    active = np.concatenate(
        [[math.fsum(highest.tolist()) > amounts[0]], _binding_capacities(values, members, capacity)]
    )
    return Scaled(Knapsack(values, costs, members, amounts, active), rows, unit, money)


def in_own_money_unit(problem: Knapsack) -> tuple[Knapsack, float]:
    """Return the problem with money divided by a power of two, that of the highest cost that can be chosen.

    So offers that cannot be chosen change nothing, not even the last bit. The second value is the unit.
    """
    unit = _power_of_two(problem.cost, np.isfinite(problem.value))
    if problem.has_constant_costs:
        cost = np.broadcast_to(problem.cost[:, :1] / unit, problem.cost.shape)
    else:
        cost = problem.cost / unit
    limits = problem.limits.copy()
    limits[0] /= unit
    return replace(problem, cost=cost, limits=limits), unit


def _binding_capacities(values: Floats, members: NDArray[np.bool_], capacity: Floats) -> NDArray[np.bool_]:
    """Return which capacities can bind: below what their offers can use, and implied by no other capacity."""
    offers = values.shape[0]
    usable = np.minimum(np.isfinite(values).sum(axis=1), capacity[:offers])
    can_use = np.concatenate([np.isfinite(values).sum(axis=1), members[offers:] @ usable])
    binding = can_use > capacity
    for limit in np.flatnonzero(binding):
        covers = (members | ~members[limit]).all(axis=1) & (capacity <= capacity[limit]) & binding
        covers[limit] = False
        binding[limit] = not covers.any()
    return binding


def _power_of_two(amounts: Floats, useful: NDArray[np.bool_]) -> float:
    highest = float(np.max(amounts, where=useful, initial=0.0))
    return math.ldexp(1.0, math.frexp(highest)[1]) if highest > 0 else 1.0


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
