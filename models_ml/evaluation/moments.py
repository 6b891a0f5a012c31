"""Count, mean and central moments of numbers that arrive in parts, so that no step has to hold all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moments:
    """``count`` n, ``mean``, and Σ (y − mean)ᵏ for k = 2, 3, 4, in the unit of the numbers to that power."""

    count: int
    mean: float
    square: float
    cube: float
    fourth: float

    @classmethod
    def of(cls, values: np.ndarray) -> Moments:
        """Return the moments of an array of shape (n,); zeros where n = 0.

        Examples
        --------
        >>> Moments.of(np.array([-3.0, -1.0, 1.0, 3.0]))
        Moments(count=4, mean=0.0, square=20.0, cube=0.0, fourth=164.0)
        """
        if not len(values):
            return cls(0, 0.0, 0.0, 0.0, 0.0)
        mean = float(values.mean())
        away = values - mean
        square = away**2
        return cls(
            len(values), mean, float(square.sum()), float((square * away).sum()), float((square**2).sum())
        )

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both parts together.

        Source: Pébay (2008), "Formulas for robust, one-pass parallel computation of covariances and
        arbitrary-order statistical moments", equations 2.1, 3.1 and 3.2.
        """
        if not self.count or not other.count:
            return self if self.count else other
        one, two = float(self.count), float(other.count)
        total, gap = one + two, other.mean - self.mean
        square = self.square + other.square + gap**2 * one * two / total
        cube = (
            self.cube
            + other.cube
            + gap**3 * one * two * (one - two) / total**2
            + 3.0 * gap * (one * other.square - two * self.square) / total
        )
        fourth = (
            self.fourth
            + other.fourth
            + gap**4 * one * two * (one**2 - one * two + two**2) / total**3
            + 6.0 * gap**2 * (one**2 * other.square + two**2 * self.square) / total**2
            + 4.0 * gap * (one * other.cube - two * self.cube) / total
        )
        return Moments(self.count + other.count, self.mean + gap * two / total, square, cube, fourth)

    @property
    def variance(self) -> float:
        """Variance of one number, Σ (y − mean)² / (n − 1); needs two numbers."""
        return self.square / (self.count - 1.0)
