"""Intervals of estimates that are sums of many small, skewed contributions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95
STEADYING_ROWS = 30.0  # enough to bring intervals with 30 customers left alone to their 95 %


@dataclass(frozen=True)
class Estimate:
    """An estimate with its standard error and interval (95 %), all in the unit of the estimate.

    ``degrees_of_freedom`` say how well the standard error itself is known.
    """

    value: float
    standard_error: float
    low: float
    high: float
    degrees_of_freedom: float

    @property
    def is_distinguishable(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def times(self, factor: float) -> Estimate:
        """Return the estimate in another unit, such as a total instead of a mean; ``factor`` is > 0."""
        scaled = {name: getattr(self, name) * factor for name in ("value", "standard_error", "low", "high")}
        return replace(self, **scaled)


def student_interval(value: float, influence: np.ndarray, count: np.ndarray | None = None) -> Estimate:
    """Return the interval of an estimate from what each independent unit adds to its error.

    The standard error is (Σ u²)^½. Where a few units carry nearly all of it — customers left alone, weighted
    by 20, most of whom stayed — the normal quantile is too small: t is taken with the degrees of freedom of
    the χ² whose relative variance is that of Σ u², 2 (Σ u²)² / (Σ u⁴ − (Σ u²)² / m) (Satterthwaite, 1946,
    with the fourth moment seen instead of the normal one).

    Parameters
    ----------
    value : float
    influence : ndarray of shape (m,)
        u, centred at zero, with any correction for small samples in it.
    count : ndarray of shape (m,), optional
        How many units share each entry; 1 by default.

    Examples
    --------
    Four numbers -3, -1, 1, 3 have the mean 0 and the squared standard error (20 / 3) / 4 = 5 / 3.

    >>> numbers = np.array([-3.0, -1.0, 1.0, 3.0])
    >>> estimate = student_interval(0.0, numbers / 4 * (4 / 3) ** 0.5)
    >>> round(estimate.standard_error**2, 9), estimate.degrees_of_freedom
    (1.666666667, 3.0)
    """
    count = np.ones(len(influence)) if count is None else count
    units = float(count.sum())
    variance = float((count * influence**2).sum())  # no BLAS: the same bits on any thread count
    spread = float((count * influence**4).sum()) - variance**2 / units
    most = max(units - 1.0, 1.0)
    degrees = most if spread <= 0 else float(np.clip(2.0 * variance**2 / spread, 1.0, most))
    error = float(np.sqrt(variance))
    reach = error * float(stdtrit(degrees, (1.0 + LEVEL) / 2.0))
    return Estimate(value, error, value - reach, value + reach, degrees)
