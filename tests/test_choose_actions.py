"""The optimiser: hand-worked plans, the linear programme as judge, certificates, limits and invariants."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from decision_data import limits
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import linprog

from models_ml.decisions import knapsack, references
from models_ml.decisions.choose import Plan, choose_actions
from models_ml.decisions.limits import Limits
from models_ml.decisions.references import Situation, first_come
from models_ml.errors import BayesPilotError

Instance = tuple[np.ndarray, np.ndarray, np.ndarray, Limits]


def choose(value: object, cost: object, bounds: Limits, touch_price: float = 0.0, **changes: object) -> Plan:
    value, cost = np.asarray(value, dtype=float), np.asarray(cost, dtype=float)
    inputs = {"allowed": np.ones(value.shape, dtype=bool), "tie_order": np.arange(len(value))} | changes
    return choose_actions(
        value,
        cost,
        inputs["allowed"],
        limits=bounds,
        touch_price=touch_price,
        tie_order=inputs["tie_order"],
    )


def random_instance(seed: int, largest: int = 400) -> Instance:
    """Draw values that are smooth, degenerate or all alike, and limits that are tight, loose or absent."""
    rng = np.random.default_rng(seed)
    offers, customers = int(rng.integers(2, 6)), int(np.exp(rng.uniform(np.log(5), np.log(largest))))
    shape = (customers, offers)
    kind = seed % 5
    if kind == 0:
        value, cost = rng.normal(5, 10, shape), rng.uniform(0, 5, shape)
    elif kind == 1:
        value, cost = rng.integers(-2, 5, shape) * 10.0, rng.integers(0, 4, shape) * 1.0
    elif kind == 2:
        value, cost = (
            np.full(shape, 7.0) + np.arange(offers),
            np.tile(1.0 + np.arange(offers), (customers, 1)),
        )
    elif kind == 3:
        value = rng.lognormal(1, 2, (customers, 1)) * rng.uniform(0, 1, offers) - rng.uniform(0, 2, offers)
        cost = np.tile(np.round(rng.uniform(0, 10, offers)), (customers, 1))
    else:
        value = rng.lognormal(0, 1, (customers, 1)) + np.arange(offers)
        cost = np.tile(np.arange(offers) * 1.0, (customers, 1))
    scale = customers * rng.choice([0.01, 0.1, 0.5, 2.0])
    channels = tuple(str(name) for name in rng.choice(["email", "phone", "push"], offers))
    bounds = Limits(
        float(np.round(cost.mean() * scale * rng.uniform(0.2, 1.5))),
        np.floor(scale * rng.uniform(0, 1, offers)),
        {name: float(np.floor(scale * rng.uniform(0, 1.5))) for name in ("email", "phone", "push")},
        channels,
    )
    return value, cost, rng.random(shape) < rng.choice([0.5, 0.9, 1.0]), bounds


def linear_optimum(value: np.ndarray, cost: np.ndarray, allowed: np.ndarray, bounds: Limits) -> float:
    """Optimum of the linear relaxation, written independently of the code under test."""
    row, offer = np.nonzero(allowed & (value > 0))
    if not len(row):
        return 0.0
    entries = np.arange(len(row))
    channel = np.array([bounds.channels.index(name) for name in bounds.offer_channel])
    ones = np.ones(len(row))
    blocks = [
        sparse.csr_matrix((cost[row, offer], (np.zeros(len(row), int), entries)), (1, len(row))),
        sparse.csr_matrix((ones, (offer, entries)), (value.shape[1], len(row))),
        sparse.csr_matrix((ones, (channel[offer], entries)), (len(bounds.channels), len(row))),
        sparse.csr_matrix((ones, (row, entries)), (len(value), len(row))),
    ]
    capacity = [bounds.channel_capacity[name] for name in bounds.channels]
    right = np.concatenate([[bounds.budget], bounds.offer_capacity, capacity, np.ones(len(value))])
    found = linprog(-value[row, offer], A_ub=sparse.vstack(blocks), b_ub=right, method="highs")
    return float(-found.fun)


def assert_feasible(
    plan: Plan, value: np.ndarray, cost: np.ndarray, allowed: np.ndarray, bounds: Limits
) -> None:
    rows = np.flatnonzero(plan.choice >= 0)
    offers = plan.choice[rows]
    contacts = np.bincount(offers, minlength=value.shape[1])
    assert allowed[rows, offers].all()
    assert math.fsum(cost[rows, offers]) <= bounds.budget
    assert (contacts <= bounds.offer_capacity).all()
    for channel in bounds.channels:
        on_channel = [name == channel for name in bounds.offer_channel]
        assert contacts[on_channel].sum() <= bounds.channel_capacity[channel]
    assert plan.contacts.tolist() == contacts.tolist()
    assert plan.spend == pytest.approx(cost[rows, offers].sum())
    assert plan.value == pytest.approx(value[rows, offers].sum())


# By hand


def test_money_goes_where_it_returns_most() -> None:
    # A budget of 10: 9 for 9 on the first customer, or 4 + 4 for 6 + 5.
    plan = choose([[6, 9], [5, 8]], [[4, 9], [4, 9]], limits(10, 5, 5))
    assert plan.choice.tolist() == [0, 0]
    assert (plan.value, plan.spend) == (11.0, 8.0)


def test_the_better_offer_goes_to_the_larger_gain() -> None:
    # Capacity for one contact with offer 1: customer 1 gains 6 by it, customer 0 only 1.
    plan = choose([[4, 5], [4, 10]], np.zeros((2, 2)), limits(0, 5, 1))
    assert plan.choice.tolist() == [0, 1]
    assert 1.0 <= plan.prices["offer offer 1"] <= 6.0  # any price between the two gains supports the plan


def test_shadow_price_of_the_budget() -> None:
    # Ten customers return 10, 9, …, 1 for a cost of 1; the sixth unit of budget would return 5.
    plan = choose(np.arange(10, 0, -1.0)[:, None], np.ones((10, 1)), limits(5.5, 10))
    assert plan.choice.tolist() == [0] * 5 + [-1] * 5
    assert plan.budget_price == pytest.approx(5.0)
    assert plan.bound == pytest.approx(40.0 + 0.5 * 5.0)
    assert plan.gap == pytest.approx(2.5 / 42.5)


def test_touch_price_steers_but_is_not_reported() -> None:
    plan = choose([[3.0], [1.0], [0.9]], np.zeros((3, 1)), limits(0, 9), touch_price=1.0)
    assert plan.choice.tolist() == [0, -1, -1]
    assert (plan.value, plan.steered_value, plan.bound) == (3.0, 2.0, 2.0)


def test_touch_price_prefers_one_large_contact_to_two_small_ones() -> None:
    value, cost = [[5.0], [3.0], [3.0]], [[4.0], [2.0], [2.0]]
    assert choose(value, cost, limits(4, 9)).choice.tolist() == [-1, 0, 0]
    assert choose(value, cost, limits(4, 9), touch_price=2.0).choice.tolist() == [0, -1, -1]


def test_a_shared_channel_binds_across_offers() -> None:
    plan = choose([[5, 0], [0, 4], [3, 0]], np.zeros((3, 2)), Limits(0, [9, 9], {"email": 2}, ("email",) * 2))
    assert plan.choice.tolist() == [0, 1, -1]
    assert 3.0 <= plan.prices["channel email"] <= 4.0


def test_equal_customers_are_served_in_tie_order() -> None:
    plan = choose(np.full((5, 1), 2.0), np.ones((5, 1)), limits(2, 5), tie_order=np.array([4, 0, 3, 1, 2]))
    assert plan.choice.tolist() == [-1, 0, -1, 0, -1]


def test_of_equal_offers_the_cheaper_is_made() -> None:
    assert choose([[3, 3]], [[2, 1]], limits(9, 9, 9)).choice.tolist() == [1]


@pytest.mark.parametrize(
    ("value", "bounds", "allowed"),
    [
        (np.empty((0, 2)), limits(9, 9, 9), np.empty((0, 2), dtype=bool)),
        (np.ones((3, 2)), limits(0, 9, 9), np.ones((3, 2), dtype=bool)),
        (np.ones((3, 2)), limits(9, 0, 0), np.ones((3, 2), dtype=bool)),
        (np.ones((3, 2)), limits(9, 9, 9), np.zeros((3, 2), dtype=bool)),
        (-np.ones((3, 2)), limits(9, 9, 9), np.ones((3, 2), dtype=bool)),
    ],
    ids=["nobody", "no budget", "no capacity", "nothing allowed", "nothing pays"],
)
def test_an_empty_plan_says_so(value: np.ndarray, bounds: Limits, allowed: np.ndarray) -> None:
    plan = choose(value, np.ones(value.shape), bounds, allowed=allowed)
    assert (plan.choice == -1).all()
    assert (plan.value, plan.spend, plan.bound, plan.gap) == (0.0, 0.0, 0.0, 0.0)
    assert plan.contacts.tolist() == [0, 0]


def test_closed_limits_are_priced_by_what_their_first_unit_would_return() -> None:
    # Two customers, one unit of money for offer 0 and two for offer 1: best 6 / 1, for a customer without an offer.
    closed = choose([[6.0, 8.0], [4.0, 9.0]], [[1.0, 2.0]] * 2, limits(0, 9, 9))
    assert closed.budget_price == closed.prices["budget"] == pytest.approx(6.0)
    assert closed.bound == 0.0
    # Without capacity for offer 1 each takes offer 0; one contact with it would raise 4 to 9.
    slotless = choose([[6.0, 8.0], [4.0, 9.0]], [[1.0, 2.0]] * 2, limits(9, 9, 0))
    assert slotless.prices["offer offer 1"] == pytest.approx(5.0)
    assert slotless.prices["offer offer 0"] == 0.0


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_one_unit_more_of_a_closed_limit_returns_at_most_its_price(seed: int) -> None:
    value, cost, allowed, bounds = random_instance(seed, largest=40)
    offer = seed % value.shape[1]
    capacity = bounds.offer_capacity.copy()
    capacity[offer] = 0.0
    shut = replace(bounds, offer_capacity=capacity)
    capacity = capacity.copy()
    capacity[offer] = 1.0
    opened = choose(value, cost, replace(bounds, offer_capacity=capacity), allowed=allowed)
    plan = choose(value, cost, shut, allowed=allowed)
    price = plan.prices[f"offer offer {offer}"]
    assert opened.bound <= plan.bound + price + 1e-6 * (1 + plan.bound)


def test_free_offers_need_no_budget() -> None:
    assert choose([[1.0, 5.0]], [[0.0, 1.0]], limits(0, 1, 1)).choice.tolist() == [0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": [[np.nan]]}, "expected value"),
        ({"cost": [[-1.0]]}, "expected cost"),
        ({"cost": [[np.inf]]}, "expected cost"),
        ({"touch_price": -1.0}, "touch_price"),
        ({"allowed": [[True, True]]}, "shape"),
    ],
)
def test_wrong_inputs_are_refused(changes: dict[str, object], message: str) -> None:
    inputs = {"value": [[1.0]], "cost": [[1.0]]} | changes
    value, cost = inputs.pop("value"), inputs.pop("cost")
    with pytest.raises(BayesPilotError, match=message):
        choose(value, cost, limits(1, 1), **inputs)


def test_shared_ranks_are_refused() -> None:
    with pytest.raises(BayesPilotError, match="share a rank"):
        choose([[1.0], [1.0]], [[1.0], [1.0]], limits(1, 1), tie_order=[3, 3])


@pytest.mark.parametrize("wrong", [(-1.0, [1.0], {"email": 1.0}), (1.0, [np.nan], {"email": 1.0})])
def test_wrong_limits_are_refused(wrong: tuple[float, list[float], dict[str, float]]) -> None:
    with pytest.raises(BayesPilotError, match="negative or not a number"):
        Limits(*wrong, ("email",))
    with pytest.raises(BayesPilotError, match="no capacity"):
        Limits(1.0, [1.0], {"phone": 1.0}, ("email",))


# Against the linear programme


@pytest.mark.parametrize("seed", range(200))
def test_bound_is_the_linear_optimum_and_the_plan_is_near_it(seed: int) -> None:
    value, cost, allowed, bounds = random_instance(seed)
    plan = choose(value, cost, bounds, allowed=allowed)
    assert_feasible(plan, value, cost, allowed, bounds)
    assert plan.bound == pytest.approx(linear_optimum(value, cost, allowed, bounds), rel=1e-8, abs=1e-9)
    assert plan.gap == pytest.approx((plan.bound - plan.steered_value) / plan.bound if plan.bound else 0.0)
    binding = sum(price > 1e-9 for price in plan.prices.values())
    highest = np.where(allowed, value, 0.0).max(initial=0.0)
    assert 0.0 <= plan.bound - plan.steered_value <= (binding + 1) * highest + 1e-9


@pytest.mark.parametrize("seed", range(10))
def test_cutting_planes_agree_with_the_whole_programme(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    value, cost, allowed, bounds = random_instance(100 + seed, largest=3_000)
    outright = choose(value, cost, bounds, allowed=allowed)
    monkeypatch.setattr(knapsack, "CONTESTED", 50)
    plan = choose(value, cost, bounds, allowed=allowed)
    assert_feasible(plan, value, cost, allowed, bounds)
    assert plan.bound == pytest.approx(outright.bound, rel=1e-8)
    assert plan.steered_value == pytest.approx(outright.steered_value, rel=1e-3)


@pytest.mark.parametrize("budget_share", [0.02, 0.2, 0.45])
def test_gap_of_many_contacts_is_tiny(budget_share: float) -> None:
    rng = np.random.default_rng(1)
    customers = 40_000
    cost = np.tile([0.25, 1.0, 6.0, 25.0], (customers, 1))
    worth = rng.beta(1, 6, (customers, 1)) * rng.lognormal(5, 1, (customers, 1))
    value = worth * [0.02, 0.05, 0.12, 0.3] * rng.lognormal(0, 0.3, cost.shape) - cost
    bounds = Limits(
        customers * budget_share,
        customers * np.array([0.3, 0.05, 0.03, 0.01]),
        {"email": customers * 0.32, "push": math.inf, "phone": math.inf},
        ("email", "email", "push", "phone"),
    )
    plan = choose(value, cost, bounds)
    assert_feasible(plan, value, cost, np.full(cost.shape, True), bounds)
    assert plan.contacts.sum() > 1_000
    assert plan.gap <= (1e-4 if plan.contacts.sum() >= 10_000 else 1e-3)


# Invariants

SMALL = st.integers(0, 10_000)


@settings(max_examples=40)
@given(seed=SMALL)
def test_permuting_customers_permutes_the_plan(seed: int) -> None:
    value, cost, allowed, bounds = random_instance(seed, largest=60)
    order = np.random.default_rng(seed).permutation(len(value))
    plan = choose(value, cost, bounds, allowed=allowed)
    moved = choose(value[order], cost[order], bounds, allowed=allowed[order], tie_order=order)
    assert moved.choice.tolist() == plan.choice[order].tolist()
    assert (moved.value, moved.spend, moved.bound) == (plan.value, plan.spend, plan.bound)


@settings(max_examples=40)
@given(seed=SMALL, power=st.integers(-20, 20))
def test_scaling_all_money_keeps_the_actions(seed: int, power: int) -> None:
    value, cost, allowed, bounds = random_instance(seed, largest=60)
    unit = 2.0**power
    scaled = Limits(
        bounds.budget * unit, bounds.offer_capacity, bounds.channel_capacity, bounds.offer_channel
    )
    plan = choose(value, cost, bounds, touch_price=0.25, allowed=allowed)
    other = choose(value * unit, cost * unit, scaled, touch_price=0.25 * unit, allowed=allowed)
    assert other.choice.tolist() == plan.choice.tolist()
    assert (other.value, other.bound, other.gap) == (plan.value * unit, plan.bound * unit, plan.gap)


@settings(max_examples=40)
@given(seed=SMALL, touch_price=st.floats(0.0, 20.0))
def test_nobody_is_contacted_at_a_loss(seed: int, touch_price: float) -> None:
    value, cost, allowed, bounds = random_instance(seed, largest=60)
    plan = choose(value, cost, bounds, touch_price=touch_price, allowed=allowed)
    rows = np.flatnonzero(plan.choice >= 0)
    assert (value[rows, plan.choice[rows]] - touch_price > 0).all()
    assert_feasible(plan, value, cost, allowed, bounds)


@settings(max_examples=40)
@given(seed=SMALL, more=st.floats(1.0, 3.0), limit=st.integers(-4, 5))
def test_larger_limits_never_lower_the_bound(seed: int, more: float, limit: int) -> None:
    value, cost, allowed, bounds = random_instance(seed, largest=60)
    capacity = bounds.offer_capacity.copy()
    if limit > 0:
        capacity[(limit - 1) % len(capacity)] *= more
    channels = dict(bounds.channel_capacity)
    if limit < 0:
        widened = sorted(channels)[-limit % len(channels)]
        channels[widened] *= more
    budget = bounds.budget * (more if limit == 0 else 1.0)
    larger = Limits(budget, capacity, channels, bounds.offer_channel)
    before = choose(value, cost, bounds, allowed=allowed).bound
    assert choose(value, cost, larger, allowed=allowed).bound >= before * (1 - 1e-9)


@settings(max_examples=40)
@given(seed=SMALL, worse=st.floats(0.0, 5.0), dearer=st.floats(0.0, 5.0))
def test_a_dominated_offer_changes_nothing_where_no_capacity_binds(
    seed: int, worse: float, dearer: float
) -> None:
    value, cost, _, bounds = random_instance(seed, largest=60)
    roomy = np.full(value.shape[1], math.inf)
    plan = choose(value, cost, Limits(bounds.budget, roomy, {"email": math.inf}, ("email",) * len(roomy)))
    wide = Limits(
        bounds.budget, np.append(roomy, math.inf), {"email": math.inf}, ("email",) * (len(roomy) + 1)
    )
    added = choose(
        np.column_stack([value, value[:, 0] - worse]), np.column_stack([cost, cost[:, 0] + dearer]), wide
    )
    assert added.choice.tolist() == plan.choice.tolist()


@settings(max_examples=40)
@given(seed=SMALL, offer=st.integers(0, 1), dearer=st.floats(0.1, 20.0))
def test_without_limits_raising_a_cost_never_adds_that_action(seed: int, offer: int, dearer: float) -> None:
    value, cost, allowed, _ = random_instance(seed, largest=60)
    offers = value.shape[1]
    unlimited = Limits(math.inf, np.full(offers, math.inf), {"email": math.inf}, ("email",) * offers)
    before = choose(value, cost, unlimited, allowed=allowed).choice == offer
    value[:, offer] -= dearer
    cost[:, offer] += dearer
    after = choose(value, cost, unlimited, allowed=allowed).choice == offer
    assert not (after & ~before).any()


# References


def situation(instance: Instance, seed: int) -> Situation:
    value, cost, allowed, bounds = instance
    rng = np.random.default_rng(seed)
    return Situation(value, cost, allowed, rng.random(len(value)), rng.lognormal(3, 1, len(value)), bounds)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", references.REFERENCE_POLICIES)
def test_no_reference_beats_the_bound_or_breaks_a_limit(seed: int, name: str) -> None:
    instance = random_instance(seed, largest=200)
    value, cost, allowed, bounds = instance
    best = choose(value, cost, bounds, allowed=allowed)
    plan = references.REFERENCE_POLICIES[name](situation(instance, seed))
    assert plan.value <= best.bound * (1 + 1e-9) + 1e-9
    rows = np.flatnonzero(plan.choice >= 0)
    offers = plan.choice[rows]
    contacts = np.bincount(offers, minlength=value.shape[1])
    assert allowed[rows, offers].all()
    assert cost[rows, offers].sum() <= bounds.budget * (1 + 1e-9)
    assert (contacts <= bounds.offer_capacity).all()
    for channel in bounds.channels:
        on_channel = [name == channel for name in bounds.offer_channel]
        assert contacts[on_channel].sum() <= bounds.channel_capacity[channel]


@settings(max_examples=30)
@given(seed=SMALL)
def test_first_come_equals_serving_one_by_one(seed: int) -> None:
    value, cost, _, left = random_instance(seed, largest=60)
    cost, rng = np.round(cost), np.random.default_rng(seed)
    rows, offers = rng.permutation(len(value)), rng.integers(0, value.shape[1], len(value))
    one_by_one = []
    bounds = left
    for position, (row, offer) in enumerate(zip(rows, offers, strict=True)):
        contact = np.eye(value.shape[1], dtype=np.int64)[offer]
        fits = cost[row, offer] <= left.budget and left.offer_capacity[offer] >= 1
        if fits and left.channel_capacity[left.offer_channel[offer]] >= 1:
            one_by_one.append(position)
            left = left.after(cost[row, offer], contact)
    assert first_come(cost, rows, offers, bounds).tolist() == one_by_one


def test_references_by_hand() -> None:
    seen = Situation(
        expected_value=np.array([[1.0, 6.0], [2.0, 9.0], [-1.0, -5.0]]),
        expected_cost=np.array([[1.0, 3.0]] * 3),
        allowed=np.ones((3, 2), dtype=bool),
        churn_probability=np.array([0.2, 0.4, 0.9]),
        customer_value=np.array([100.0, 50.0, 10.0]),
        limits=limits(6, 2, 2),
    )
    assert references.contact_nobody(seen).value == 0.0
    assert references.top_risk(seen).choice.tolist() == [-1, 1, 1]  # −5 + 9 beats −1 + 2
    tiers = references.fixed_thresholds(seen, low=0.3, high=0.8)
    assert tiers.choice.tolist() == [-1, 0, 1]
    assert tiers.value == -3.0
    assert references.greedy_value_per_cost(seen).choice.tolist() == [1, 1, -1]
    # Losses p L are 20, 20 and 9; offer 1 saves (9 + 12 − 2) / 49 of them: 7.8, 7.8 and 3.5 for a cost of 3.
    assert references.break_even(seen).choice.tolist() == [1, 1, -1]
    # One contact in the budget less: the first of the equal losses.
    assert references.break_even(replace(seen, limits=limits(3, 2, 2))).choice.tolist() == [1, -1, -1]


def test_fixed_thresholds_are_the_named_ones() -> None:
    everyone = np.array([[1.0, 1.0]] * 4)
    seen = Situation(
        everyone, everyone * [1.0, 2.0], everyone > 0, np.array([0.29, 0.3, 0.69, 0.7]), np.ones(4),
        limits(9, 9, 9),
    )  # fmt: skip
    assert references.fixed_thresholds(seen).choice.tolist() == [-1, 0, 0, 1]


def test_break_even_does_not_know_who_responds() -> None:
    # Both lose the same, only the second responds; the rule cannot tell and takes the first in order.
    seen = Situation(
        np.array([[-1.0], [9.0]]), np.ones((2, 1)), np.ones((2, 1), dtype=bool), np.full(2, 0.5),
        np.full(2, 40.0), limits(1, 9),
    )  # fmt: skip
    assert references.break_even(seen).choice.tolist() == [0, -1]
    assert choose(seen.expected_value, seen.expected_cost, seen.limits).choice.tolist() == [-1, 0]
