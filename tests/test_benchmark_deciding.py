"""The benchmark of deciding, at toy size: the same instance every time, binding limits, a small gap."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import deciding, partitions

from models_ml.errors import BayesPilotError


def test_limits_bind_and_the_gap_is_small() -> None:
    chosen = deciding._choose(20_000)
    assert chosen.gap <= 1e-3
    assert chosen.contacts >= 1_000
    assert chosen.binding >= 3
    assert chosen.choosing.cpu_seconds < 20


def test_the_instance_is_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "CHUNK", 300)
    first, _ = deciding._values(1_000)
    again, cost = deciding._values(1_000)
    assert np.array_equal(first, again)
    assert (first == np.rint(first)).all(), "whole cents"
    assert cost.shape == first.shape


def test_sorting_and_references_are_measured() -> None:
    for usage in (deciding._sort(200_000), deciding._follow(20_000)):
        assert 0.001 < usage.seconds < 20
        assert 0.001 < usage.cpu_seconds < 20
        assert usage.peak_mb > 50


def test_a_plan_by_partition_is_worth_what_the_whole_plan_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "CHUNK", 7_000)
    customers, limits = 60_000, deciding.limits_for(60_000)
    whole = partitions._plan(np.concatenate(list(deciding.value_chunks(customers))), limits)
    plan = partitions.plan_by_partition(customers, limits, sample_one_in=4)
    assert plan.sample == pytest.approx(customers / 4, abs=9)
    assert plan.contested < customers / 10
    assert 0.9995 * whole.steered_value <= plan.steered_value <= whole.bound <= plan.bound
    assert plan.gap < 0.005
    assert plan.spend <= limits.budget
    assert (plan.contacts <= limits.offer_capacity).all()


def test_settled_customers_choose_alike_at_all_prices() -> None:
    """After 10 for the touch, 35 are less than some prices and more than others, 90 more than all of them."""
    value = np.zeros((3, 4))
    value[:, 1] = [45.0, 100.0, 5.0]
    low, high, prices = (np.full(4, each) for each in (30.0, 45.0, 40.0))
    settled = partitions._settled(value, low, high, prices)
    assert settled.contested[:, 1].tolist() == [45.0]
    assert settled.contacts.tolist() == [0, 1, 0, 0]
    assert settled.spend == deciding.COST_CENTS[1]
    assert settled.steered_value == 90.0
    assert settled.bound == 90.0 - 40.0


def test_a_plan_by_partition_says_when_a_sample_is_too_small() -> None:
    limits = deciding.limits_for(1_000)
    with pytest.raises(BayesPilotError, match=r"(?s)more than a limit.*offer 0 41 of 40.*larger sample"):
        partitions._check_within(0.0, np.array([41, 0, 0, 0]), limits)
