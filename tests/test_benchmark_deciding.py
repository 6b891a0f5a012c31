"""The benchmark of deciding, at toy size: the same instance, certified, and no reference above the bound."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import deciding
from benchmarks.measuring import Measure


def test_the_instance_is_tight_and_solved() -> None:
    chosen = deciding._choose(20_000)
    assert chosen.gap <= 1e-3
    assert chosen.contacts >= 1_000
    assert chosen.scarce >= 3
    assert chosen.choosing.cpu_seconds < 20


def test_the_same_customers_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "CHUNK", 300)
    first, _ = deciding._values(1_000)
    again, cost = deciding._values(1_000)
    assert np.array_equal(first, again)
    assert (first == np.rint(first)).all(), "whole cents"
    assert cost.shape == first.shape


def test_sorting_and_references_are_measured() -> None:
    for measure in (deciding._sort(2_000), deciding._follow(2_000)):
        assert isinstance(measure, Measure)
        assert measure.seconds > 0
