"""The Qini curve: what contacting a growing share of customers is worth, the most promising first.

Radcliffe (2007), "Using control groups to target on predicted lift". Drawn in money, each customer with the
offer that the learner expects most of; from doubly robust scores of customers that the learner has not seen.
With one offer at a constant value and cost the coefficient is the classical one times that value: costs move
the curve and the line of a random order alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models_ml.uplift.settings import QiniSettings
from models_ml.uplift.trial import Floats

_LEVEL = 0.95


@dataclass(frozen=True)
class QiniCurve:
    """Net money per customer against contacting none, by share contacted, each (bins + 1,).

    ``low`` to ``high`` holds the whole curve with probability 95 % (bootstrap over customers, ranks as they are).
    ``coefficient`` is the area between the curve and a straight line to its end, money per customer: how much
    ranking gains over a random order, on average over all shares; ``coefficient_low`` to ``coefficient_high``
    is its 95 % interval.
    """

    share: Floats
    value: Floats
    low: Floats
    high: Floats
    coefficient: float
    coefficient_low: float
    coefficient_high: float


def qini_curve(gain: Floats, rank: Floats, settings: QiniSettings, seed: int) -> QiniCurve:
    """Cumulate gains in the order of ranks.

    Parameters
    ----------
    gain : ndarray of shape (n,)
        Doubly robust score of contacting the customer against not, money.
    rank : ndarray of shape (n,), 0 to 1
        The most promising first.

    Examples
    --------
    Two customers gain 4 each, two lose 2; a perfect order rises to 8 / 4 at one half and ends at 4 / 4.

    >>> from models_ml.uplift.settings import QiniSettings
    >>> curve = qini_curve(np.array([4.0, 4.0, -2.0, -2.0]), np.array([0.1, 0.3, 0.6, 0.8]),
    ...                    QiniSettings(bins=2, bootstraps=10), seed=1)
    >>> curve.value.tolist(), curve.coefficient
    ([0.0, 2.0, 1.0], 0.75)
    """
    bins = np.minimum((rank * settings.bins).astype(np.int64), settings.bins - 1)
    counts = np.bincount(bins, minlength=settings.bins).astype(np.float64)
    share, value, coefficient = _cumulated(counts, _sums(bins, gain, settings.bins))
    random = np.random.default_rng(seed)
    curves, coefficients = np.empty((settings.bootstraps, len(value))), np.empty(settings.bootstraps)
    for draw in range(settings.bootstraps):
        taken = random.integers(0, len(gain), len(gain))
        drawn_bins = bins[taken]
        drawn = np.bincount(drawn_bins, minlength=settings.bins).astype(np.float64)
        drawn_share, drawn_value, coefficients[draw] = _cumulated(
            drawn, _sums(drawn_bins, gain[taken], settings.bins)
        )
        curves[draw] = np.interp(share, drawn_share, drawn_value)
    reach = _simultaneous_reach(curves - value)
    low, high = 2 * coefficient - np.quantile(coefficients, [(1 + _LEVEL) / 2, (1 - _LEVEL) / 2])
    return QiniCurve(share, value, value - reach, value + reach, coefficient, float(low), float(high))


def _sums(bins: np.ndarray, gain: Floats, count: int) -> Floats:
    return np.asarray(np.bincount(bins, gain, count), dtype=np.float64)


def _cumulated(counts: Floats, sums: Floats) -> tuple[Floats, Floats, float]:
    total = counts.sum()
    share = np.concatenate([[0.0], np.cumsum(counts) / total])
    value = np.concatenate([[0.0], np.cumsum(sums) / total])
    area = float((np.diff(share) * (value[1:] + value[:-1])).sum() / 2)
    return share, value, area - float(value[-1]) / 2


def _simultaneous_reach(errors: Floats) -> Floats:
    """Return the half width of a band that holds whole curves: errors over their deviation, largest along each."""
    deviation = errors.std(axis=0, ddof=1)
    known = deviation > 0
    largest = np.abs(errors[:, known] / deviation[known]).max(axis=1, initial=0.0)
    return np.asarray(deviation * np.quantile(largest, _LEVEL))


def descending_rank(score: Floats, seed: int) -> Floats:
    """Return ranks within (0, 1), the highest score first; ties in a random order, (n,).

    >>> descending_rank(np.array([1.0, 3.0, 2.0]), seed=1).round(3).tolist()
    [0.833, 0.167, 0.5]
    """
    mixed = np.random.default_rng(seed).permutation(len(score))
    order = mixed[np.argsort(-score[mixed], kind="stable")]
    rank = np.empty(len(score))
    rank[order] = (np.arange(len(score)) + 0.5) / len(score)
    return rank
