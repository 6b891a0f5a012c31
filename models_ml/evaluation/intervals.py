"""Intervals of estimates that are sums of many small, skewed contributions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from models_ml.errors import BayesPilotError

LEVEL = 0.95
ROUNDING = 1e-12  # relative; what is left of numbers that are equal but for their last digits
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


def student_interval(value: float, influence: np.ndarray, *, scale: float = 0.0) -> Estimate:
    """Return the interval of an estimate from what each independent unit adds to its error.

    Parameters
    ----------
    value : float
    influence : ndarray of shape (m,)
        u, centred at zero, with any correction for small samples in it.
    scale : float, >= 0
        As in `interval_from_sums`.

    Raises
    ------
    BayesPilotError
        As `interval_from_sums`.

    Examples
    --------
    Four numbers -3, -1, 1, 3 have the mean 0 and the squared standard error (20 / 3) / 4 = 5 / 3.

    >>> numbers = np.array([-3.0, -1.0, 1.0, 3.0])
    >>> estimate = student_interval(0.0, numbers / 4 * (4 / 3) ** 0.5)
    >>> round(estimate.standard_error**2, 9), estimate.degrees_of_freedom
    (1.666666667, 3.0)
    """
    square = influence**2
    # Sums rather than dot products, which go through BLAS: the same bits on any thread count.
    return interval_from_sums(
        value, float(square.sum()), float((square**2).sum()), len(influence), scale=scale
    )


def interval_from_sums(
    value: float, variance: float, fourth: float, units: int, *, scale: float = 0.0
) -> Estimate:
    """Return the interval of an estimate from Σ u² and Σ u⁴ over its m independent units.

    The standard error is (Σ u²)^½. Where a few units carry nearly all of it — customers left alone, weighted
    by 20, most of which stayed — the normal quantile is too small: t is taken with the degrees of freedom of
    the χ² whose relative variance is that of Σ u², 2 (Σ u²)² / (Σ u⁴ − (Σ u²)² / m) (Satterthwaite, 1946,
    with the observed fourth moment instead of the normal one).

    Parameters
    ----------
    value : float
    variance, fourth : float, >= 0
        Σ u² and Σ u⁴.
    units : int, >= 2
    scale : float, >= 0
        Size of the numbers that the estimate was made from: a standard error below its rounding is none.

    Raises
    ------
    BayesPilotError
        If nothing varies: numbers that are all alike do not say how far their mean may be off.
    """
    if not variance > (ROUNDING * scale) ** 2:
        raise BayesPilotError(
            "all outcomes of a group are alike: they do not say how far the estimate may be off",
            values=[f"standard error {variance:g}"],
            next_step="wait for more outcomes, such as a customer who left",
        )
    spread = fourth - variance**2 / units
    most = max(units - 1.0, 1.0)
    degrees = most if spread <= 0 else float(np.clip(2.0 * variance**2 / spread, 1.0, most))
    error = float(np.sqrt(variance))
    reach = error * float(stdtrit(degrees, (1.0 + LEVEL) / 2.0))
    return Estimate(value, error, value - reach, value + reach, degrees)
