"""The benchmark of deciding, at toy size: the same instance every time, binding limits, a small gap."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import deciding


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
