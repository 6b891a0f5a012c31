"""Which customers to contact, with which offer: the one function that decides in training, dbt and what-if runs.

The knapsack's prices give a fractional plan. A whole one is made of it: settle, repair, fill, and give ties in customer
order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models_ml.decisions.knapsack import (
    CONTESTED,
    DualSolution,
    Floats,
    Knapsack,
    Relaxed,
    Scaled,
    in_own_money_unit,
    minimise_dual,
    outside,
    scale,
    solve_shares,
)
from models_ml.decisions.limits import Limits
from models_ml.errors import BayesPilotError

Choice = NDArray[np.int8]
WHOLE = 1e-6  # a share this close to 0 or 1 is whole
FILL_MOVES = 5_000
FILL_PASSES = 5
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Plan:
    """One offer or nothing for each customer, with a certificate of how good the choice is.

    Attributes
    ----------
    choice : ndarray of shape (n,)
        Position of the offer, −1 for no action.
    value : float
        Σ expected value of the chosen, touch prices not subtracted.
    steered_value : float
        Σ (expected value − touch price) of the chosen: what the choice maximises.
    spend : float
        Σ expected cost of the chosen.
    contacts : ndarray of shape (k,)
        How many customers get each offer.
    bound : float
        Dual value of the steered objective: no plan within the limits has a higher ``steered_value``.
    gap : float
        (bound − steered_value) / bound, at least 0; 0 where the bound is 0.
    budget_price : float
        λ: steered value that one more unit of budget would add.
    prices : Mapping[str, float]
        Steered value that one more contact would add, per limit ("offer <name>", "channel <name>"), and "budget".
    """

    choice: NDArray[np.int64]
    value: float
    steered_value: float
    spend: float
    contacts: NDArray[np.int64]
    bound: float
    gap: float
    budget_price: float
    prices: Mapping[str, float]


def choose_actions(
    expected_value: ArrayLike,
    expected_cost: ArrayLike,
    allowed: ArrayLike,
    *,
    limits: Limits,
    touch_price: float,
    tie_order: ArrayLike,
) -> Plan:
    """Choose at most one offer per customer so that the total value within all limits is as high as possible.

    Maximises Σ (v − touch_price) x subject to Σ cost x ≤ budget, Σ x ≤ capacity per offer and per channel: a
    multiple-choice knapsack, solved by the prices of its limits (Lagrangian dual) and then rounded. Only
    offers with v − touch_price > 0 are chosen. Among equal customers ``tie_order`` decides.

    Parameters
    ----------
    expected_value, expected_cost : array-like of shape (n, k)
        Money per contact; cost ≥ 0. Spend is exact where costs are whole numbers (cents).
    allowed : array-like of bool of shape (n, k)
        Whether the offer may be made.
    limits : Limits
        Budget and capacities for the k offers.
    touch_price : float
        Money ≥ 0 per contact that steers the choice and is not part of the reported value.
    tie_order : array-like of int of shape (n,)
        Distinct ranks, by customer_id.

    Raises
    ------
    BayesPilotError
        When shapes differ, a value is not finite, a cost is negative or two customers share a rank.

    Examples
    --------
    A budget of 10: one call has the highest value, but two e-mails at 4 each are worth more together.

    >>> limits = Limits(10.0, np.array([5, 5]), {"email": 5, "phone": 5}, ("email", "phone"))
    >>> plan = choose_actions([[6, 9], [5, 8]], [[4, 9], [4, 9]], np.full((2, 2), True),
    ...                       limits=limits, touch_price=0.0, tie_order=[0, 1])
    >>> plan.choice.tolist(), plan.value, plan.spend
    ([0, 0], 11.0, 8.0)
    """
    value, cost, may = _checked(expected_value, expected_cost, allowed, limits, touch_price)
    order = _order(np.asarray(tie_order), len(value))
    scaled = scale(value, cost, may, limits, touch_price, order)
    choice = np.full(len(value), -1, dtype=np.int64)
    chosen, relaxed = _solve(scaled.problem)
    choice[scaled.rows] = chosen
    rows = order[choice[order] >= 0]
    plan = _plan(
        value[rows, choice[rows]], cost[rows, choice[rows]], choice, limits, touch_price, scaled, relaxed
    )
    closed = _prices_of_closed_limits(value - touch_price, cost, may, limits, plan.prices)
    prices = {**plan.prices, **closed}
    return replace(plan, prices=prices, budget_price=prices["budget"])


def _checked(
    expected_value: ArrayLike,
    expected_cost: ArrayLike,
    allowed: ArrayLike,
    limits: Limits,
    touch_price: float,
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    value = np.asarray(expected_value, dtype=np.float64)
    cost = np.asarray(expected_cost, dtype=np.float64)
    may = np.asarray(allowed, dtype=bool)
    offers = len(limits.offer_capacity)
    if value.ndim != 2 or value.shape != cost.shape or value.shape != may.shape or value.shape[1] != offers:
        shapes = [value.shape, cost.shape, may.shape, f"{offers} offers in the limits"]
        raise BayesPilotError("values, costs, permissions and limits differ in shape", values=shapes)
    for name, wrong in (
        ("expected value", ~np.isfinite(value)),
        ("expected cost", ~((cost >= 0) & (cost < np.inf))),
    ):
        if wrong.any():
            raise BayesPilotError(
                f"{name} is not a finite number, or negative", values=np.argwhere(wrong)[:6]
            )
    if not 0 <= touch_price < math.inf:
        raise BayesPilotError(f"touch_price {touch_price} must be at least 0", where="choose_actions")
    return value, cost, may


def _order(tie_order: NDArray[np.int64], customers: int) -> NDArray[np.int64]:
    if tie_order.shape != (customers,):
        raise BayesPilotError(f"tie_order has shape {tie_order.shape} for {customers} customers")
    order = np.argsort(tie_order, kind="stable")
    ranks = tie_order[order]
    repeated = np.flatnonzero(ranks[1:] == ranks[:-1])
    if len(repeated):
        raise BayesPilotError("two customers share a rank in tie_order", values=ranks[repeated].tolist())
    return order


def _solve(problem: Knapsack) -> tuple[NDArray[np.int8], Relaxed]:
    """Solve with no limit, then with money alone, then with all limits, and stop at the first feasible plan.

    So a dominated offer changes nothing while no capacity binds, and limits that do not bind cost no time.
    """
    simple = problem.without_dominated()
    relaxed = simple.relax(np.zeros(len(problem.limits)))
    if (exact_usage(simple, relaxed.choice) <= problem.limits).all():
        return relaxed.choice, relaxed
    money = replace(simple, active=problem.active & (np.arange(len(problem.limits)) == 0))
    if money.active.any():
        money, unit = in_own_money_unit(money)
        dual = minimise_dual(money)
        if (fractional_usage(money, dual) <= money.limits * (1 + 1e-9)).all():
            prices = dual.relaxed.prices.copy()
            prices[0] /= unit
            return round_plan(money, dual), replace(dual.relaxed, prices=prices)
    dual = minimise_dual(problem)
    return round_plan(problem, dual), dual.relaxed


def _plan(
    value: Floats,
    cost: Floats,
    choice: NDArray[np.int64],
    limits: Limits,
    touch_price: float,
    scaled: Scaled,
    relaxed: Relaxed,
) -> Plan:
    """Sum up the chosen contacts without rounding error; their ``value`` and ``cost`` come in tie order."""
    steered = math.fsum((value - touch_price).tolist())
    bound = max(relaxed.bound * scaled.value_unit, steered)
    prices = relaxed.prices * scaled.value_unit
    names = [f"offer {name}" for name in limits.offer_names] + [f"channel {name}" for name in limits.channels]
    budget_price = float(prices[0]) / scaled.money_unit
    return Plan(
        choice=choice,
        value=math.fsum(value.tolist()),
        steered_value=steered,
        spend=math.fsum(cost.tolist()),
        contacts=np.bincount(choice[choice >= 0], minlength=len(limits.offer_capacity)),
        bound=bound,
        gap=(bound - steered) / bound if bound > 0 else 0.0,
        budget_price=budget_price,
        prices={"budget": budget_price, **dict(zip(names, prices[1:].tolist(), strict=True))},
    )


def _prices_of_closed_limits(
    value: Floats, cost: Floats, allowed: NDArray[np.bool_], limits: Limits, prices: Mapping[str, float]
) -> dict[str, float]:
    """Return the prices of the limits that are 0, each opened on its own; nothing where none is 0.

    No offer that needs a closed limit takes part in the choice, so the dual leaves its price open (any price that
    is high enough gives the same bound). Its price is what its first unit would return: the largest gain of any
    customer after paying the other prices.

    Parameters
    ----------
    value : ndarray of shape (n, k)
        Expected value less the touch price.
    cost : ndarray of shape (n, k)
    allowed : ndarray of bool of shape (n, k)
    limits : Limits
    prices : Mapping[str, float]
        As in ``Plan.prices``.

    Examples
    --------
    Two customers, one offer that costs 2 and is worth 6 and 3, no budget: one unit of money would return 6 / 2 = 3.

    >>> limits = Limits(0.0, np.array([9.0]), {"email": 9.0}, ("email",), ("nudge",))
    >>> prices = {"budget": 0.0, "offer nudge": 0.0, "channel email": 0.0}
    >>> _prices_of_closed_limits(
    ...     np.array([[6.0], [3.0]]), np.full((2, 1), 2.0), np.full((2, 1), True), limits, prices)
    {'budget': 3.0}
    """
    offers = range(value.shape[1])
    names = [
        ("budget", f"offer {limits.offer_names[at]}", f"channel {limits.offer_channel[at]}") for at in offers
    ]
    amounts = {"budget": limits.budget}
    amounts |= {names[at][1]: float(limits.offer_capacity[at]) for at in offers}
    amounts |= {f"channel {name}": float(limits.channel_capacity[name]) for name in limits.channels}
    closed = {name for name, amount in amounts.items() if amount == 0}
    if not closed or not len(value):
        return {}
    best = np.zeros(len(value))
    gains: dict[str, list[Floats]] = {name: [] for name in closed}
    for opened in (None, *sorted(closed)):  # None: what each customer gains with all of them closed
        for at in offers:
            costs_money = cost[:, at] > 0
            needs = closed & set(names[at][1:])
            usable = allowed[:, at] & (not needs - {opened})
            if "budget" in closed and opened != "budget":
                usable = usable & ~costs_money
            capacity_price = sum(prices[name] for name in names[at][1:] if name not in closed)
            money_price = 0.0 if "budget" in closed else prices["budget"]
            reduced = value[:, at] - money_price * cost[:, at] - capacity_price
            if opened is None:
                best = np.maximum(best, np.where(usable, reduced, 0.0))
            elif opened == "budget":
                with np.errstate(over="ignore"):  # a cost of almost nothing
                    rate = (reduced - best)[usable & costs_money] / cost[usable & costs_money, at]
                gains[opened].append(np.minimum(rate, np.finfo(np.float64).max))
            elif opened in needs:
                gains[opened].append((reduced - best)[usable])
    return {
        name: float(max((part.max(initial=0.0) for part in parts), default=0.0))
        for name, parts in gains.items()
    }


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
    evenly among them. Returns the choice and the customers for which the columns disagree.
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
