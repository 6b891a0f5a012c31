"""Guardrails of a challenger: what must hold beside earning more, measured on the judged rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from models_ml.deployment.challenge import Guardrail
from models_ml.training.settings import Promotion

Probability = Callable[[np.ndarray, np.ndarray], float]  # that the first values, row by row, total more
NORMAL_95 = 1.96


@dataclass(frozen=True)
class Judged:
    """The judged rows and a challenger on them.

    Attributes
    ----------
    has_churned : ndarray of shape (n,), bool
    weight : ndarray of shape (n,), > 0
    segment : ndarray of shape (n,), text (missing: None), or None where the business has no segments
    churn_probability : ndarray of shape (n,), 0 to 1
    """

    has_churned: np.ndarray
    weight: np.ndarray
    segment: np.ndarray | None
    churn_probability: np.ndarray


@dataclass(frozen=True)
class ContactValues:
    """What each row's contact was worth under challenger and champion, money, 0 where left alone, shape (n,)."""

    challenger: np.ndarray
    champion: np.ndarray
    challenger_contacts: int
    champion_contacts: int


def measure_guardrails(
    judged: Judged, contacts: ContactValues | None, bounds: Promotion, probability_better: Probability
) -> tuple[Guardrail, ...]:
    """Measure every guardrail that can be measured; the relative ones need a champion (``contacts``)."""
    found = [_calibration(judged, bounds), *_segment_calibration(judged, bounds)]
    if contacts is not None:
        found.append(_contacts_ratio(contacts, bounds))
        found += _segment_worse(judged, contacts, bounds, probability_better)
    return tuple(found)


def perfect_range(churn_probability: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return within which calibration ratios a perfect forecast of these rows lies 95 times of 100.

    The observed weighted churn has mean Σ w·p and variance Σ w²·p·(1 − p); normal approximation.

    Examples
    --------
    >>> low, high = perfect_range(np.full(10_000, 0.1), np.ones(10_000))
    >>> round(low, 3), round(high, 3)
    (0.944, 1.062)
    """
    mean = float((weight * churn_probability).sum())
    deviation = float(np.sqrt((weight**2 * churn_probability * (1 - churn_probability)).sum()))
    low, high = mean / (mean + NORMAL_95 * deviation), mean - NORMAL_95 * deviation
    return low, mean / high if high > 0 else float("inf")


def _calibration(judged: Judged, bounds: Promotion) -> Guardrail:
    low, high = perfect_range(judged.churn_probability, judged.weight)
    return _guardrail(
        "calibration_ratio",
        _ratio(judged, np.ones(len(judged.weight), bool)),
        bounds.calibration_ratio_from,
        bounds.calibration_ratio_to,
        f"mean predicted over mean observed churn; a perfect forecast of {len(judged.weight):,} customers"
        f" lies within {low:.2f} to {high:.2f} 19 times of 20",
    )


def _contacts_ratio(contacts: ContactValues, bounds: Promotion) -> Guardrail:
    new, old = contacts.challenger_contacts, contacts.champion_contacts
    note = f"{new:,} contacts against {old:,} of the champion's plan"
    if old == 0:  # no ratio; who contacts nobody is no measure
        return _guardrail("contacts_ratio", 1.0, None, None, note)
    return _guardrail("contacts_ratio", new / old, bounds.contacts_ratio_from, bounds.contacts_ratio_to, note)


def _segment_calibration(judged: Judged, bounds: Promotion) -> list[Guardrail]:
    ratios = {name: _ratio(judged, rows) for name, rows in _segments(judged, bounds)}
    if not ratios:
        return []
    worst = max(sorted(ratios), key=lambda name: abs(np.log(max(ratios[name], 1e-9))))
    low, high = bounds.segment_calibration_from, bounds.segment_calibration_to
    note = f"calibration ratio of the worst segment, {worst}, of {len(ratios)} with enough churners"
    return [_guardrail("segment_calibration", ratios[worst], low, high, note)]


def _segment_worse(
    judged: Judged, contacts: ContactValues, bounds: Promotion, probability_better: Probability
) -> list[Guardrail]:
    worse = {
        name: probability_better(contacts.champion[rows], contacts.challenger[rows])
        for name, rows in _segments(judged, bounds)
    }
    if not worse:
        return []
    worst = max(sorted(worse), key=lambda name: worse[name])
    note = f"probability that segment {worst} earns less than under the champion, the highest of {len(worse)}"
    return [_guardrail("segment_worse", worse[worst], None, bounds.segment_worse_at_most, note)]


def _segments(judged: Judged, bounds: Promotion) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and rows of every segment with enough churners, in order of name."""
    if judged.segment is None:
        return
    names = np.array(["(none)" if name is None else str(name) for name in judged.segment])
    for name in sorted(set(names.tolist())):
        rows = names == name
        if judged.has_churned[rows].sum() >= bounds.segment_churners_at_least:
            yield name, rows


def _ratio(judged: Judged, rows: np.ndarray) -> float:
    weight = judged.weight[rows]
    expected = float((weight * judged.churn_probability[rows]).sum())
    return expected / float((weight * judged.has_churned[rows]).sum())


def _guardrail(name: str, value: float, low: float | None, high: float | None, note: str) -> Guardrail:
    passes = (low is None or value >= low) and (high is None or value <= high)
    return Guardrail(name, round(float(value), 9), low, high, passes, note)
