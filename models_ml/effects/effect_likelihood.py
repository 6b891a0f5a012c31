r"""The log posterior of calibration and offer effects, with its derivatives.

For a customer of cell c, assigned by chance to arm g, with z = (1, signals),

    t_0 = logit p_0 + α_c·z                   log-odds of churn if left alone, α_c = δ_c + γ + η_c
    t_o = t_0 + b_o·z                         under offer o
    P(y | g) = Σ_j r_gj · σ(t_j)              j = 0 (nothing, r_g0 = 1 − Σ_o r_go) and all offers

δ_c, γ and η_c occur only in the sum α_c, so that the α_c stand for them: normal around 0 with the covariance
τ²·I between any two cells (from γ) and 2τ²·I + λ²·e₀e₀ᵀ within one (from γ, η_c and δ_c), τ the slopes' sd, λ that of
the level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Prior:
    """Normal prior of the parameters: the α_c cell by cell, then the b_o offer by offer, each 1 + s numbers.

    ``factor`` is the lower Cholesky factor of ``covariance``.
    """

    mean: Floats
    covariance: Floats
    factor: Floats
    precision: Floats

    @classmethod
    def of(cls, mean: Floats, covariance: Floats) -> Prior:
        """Return the prior with this mean and covariance."""
        return cls(
            mean,
            covariance,
            np.asarray(np.linalg.cholesky(covariance), dtype=np.float64),
            np.asarray(np.linalg.inv(covariance), dtype=np.float64),
        )


@dataclass(frozen=True)
class CellRows:
    """The n customers of one cell; only the offers that reached some of them, at positions ``offers`` (m,).

    ``design`` (n, 1 + s), ``log_odds`` (n,) of churn as predicted, ``sign`` (n,) +1 for leavers and −1 for the
    others, ``reach`` (n, 1 + m) with the share left alone first.
    """

    cell: int
    offers: tuple[int, ...]
    design: Floats
    log_odds: Floats
    sign: Floats
    reach: Floats


@dataclass(frozen=True)
class _Derivatives:
    """Per row: the likelihood ``q`` (n,) and its first three derivatives by t, each (n, 1 + m)."""

    q: Floats
    first: Floats
    second: Floats
    third: Floats


Weights = Callable[[_Derivatives, int, int], Floats]


class LogPosterior:
    """Log posterior of ``cells`` calibrations and ``offers`` effects, each ``width`` = 1 + s numbers, as one vector."""

    def __init__(self, rows: list[CellRows], prior: Prior, cells: int, width: int) -> None:
        self.rows, self.prior, self.cells, self.width = rows, prior, cells, width

    def _at(self, block: int) -> slice:
        return slice(block * self.width, (block + 1) * self.width)

    def _blocks(self, rows: CellRows) -> list[int]:
        """Return the blocks of the parameters that a cell's rows speak of: its calibration, then its offers."""
        return [rows.cell, *(self.cells + offer for offer in rows.offers)]

    def _derivatives(self, rows: CellRows, parameters: Floats) -> _Derivatives:
        parts = [np.einsum("ij,j->i", rows.design, parameters[self._at(each)]) for each in self._blocks(rows)]
        t = np.column_stack([part if not place else parts[0] + part for place, part in enumerate(parts)])
        t += rows.log_odds[:, None]
        t *= rows.sign[:, None]
        left = expit(t)
        first = rows.reach * left * (1.0 - left)
        second = first * (1.0 - 2.0 * left)
        third = first * (1.0 - 6.0 * left * (1.0 - left))
        q = np.maximum((rows.reach * left).sum(axis=1), np.finfo(float).tiny)
        sign = rows.sign[:, None]
        return _Derivatives(q, sign * first, second, sign * third)

    def log_density(self, parameters: Floats) -> float:
        """Return the log posterior up to a constant."""
        away = parameters - self.prior.mean
        likelihood = [float(np.log(self._derivatives(rows, parameters).q).sum()) for rows in self.rows]
        return sum(likelihood) - 0.5 * float(away @ self.prior.precision @ away)

    def gradient(self, parameters: Floats) -> Floats:
        """Return the gradient of :meth:`log_density`."""
        gradient = -(self.prior.precision @ (parameters - self.prior.mean))
        for rows in self.rows:
            found = self._derivatives(rows, parameters)
            by_block = _by_block(found.first) / found.q[:, None]
            for place, block in enumerate(self._blocks(rows)):
                gradient[self._at(block)] += np.einsum("ij,i->j", rows.design, by_block[:, place])
        return gradient

    def expected_information(self, parameters: Floats) -> Floats:
        """Return the Fisher information of the rows alone, shape (parameters, parameters)."""

        def weights(found: _Derivatives, a: int, b: int) -> Floats:
            first = _by_block(found.first)
            stays = np.maximum(1.0 - found.q, np.finfo(float).tiny)  # q is that of what happened
            return first[:, a] * first[:, b] / (found.q * stays)

        return self._assembled(parameters, weights)

    def observed_information(self, parameters: Floats) -> Floats:
        """Return minus the second derivatives of the rows' log likelihood, shape (parameters, parameters)."""

        def weights(found: _Derivatives, a: int, b: int) -> Floats:
            first, second = _by_block(found.first), _by_block(found.second)
            curved = second[:, max(a, b)] if a == b or 0 in (a, b) else 0.0
            return first[:, a] * first[:, b] / np.square(found.q) - curved / found.q

        return self._assembled(parameters, weights)

    def _assembled(self, parameters: Floats, weights: Weights) -> Floats:
        total = np.zeros((len(parameters), len(parameters)))
        for rows in self.rows:
            found, blocks = self._derivatives(rows, parameters), self._blocks(rows)
            for a in range(len(blocks)):
                for b in range(a, len(blocks)):
                    weighted = rows.design * weights(found, a, b)[:, None]
                    part = np.einsum("ij,ik->jk", weighted, rows.design)
                    total[self._at(blocks[a]), self._at(blocks[b])] += part
                    if a != b:
                        total[self._at(blocks[b]), self._at(blocks[a])] += part.T
        return total

    def mean_minus_mode(self, mode: Floats, covariance: Floats) -> Floats:
        """Return how far the mean lies from the mode: half the covariance times its contraction with l‴."""
        pull = np.zeros(len(mode))
        for rows in self.rows:
            found = self._derivatives(rows, mode)
            spread = self._covariance_of_log_odds(rows, covariance)
            by_block = _by_block(_pull(found, spread))
            for place, block in enumerate(self._blocks(rows)):
                pull[self._at(block)] += np.einsum("ij,i->j", rows.design, by_block[:, place])
        return np.asarray(0.5 * np.einsum("ij,j->i", covariance, pull))

    def _covariance_of_log_odds(self, rows: CellRows, covariance: Floats) -> Floats:
        """Return the covariance of (t_0, t_o, …) of each row, shape (n, 1 + m, 1 + m)."""
        blocks = self._blocks(rows)
        count = len(blocks)
        own = np.empty((len(rows.design), count, count))
        for a in range(count):
            for b in range(count):
                block = covariance[self._at(blocks[a]), self._at(blocks[b])]
                left = np.einsum("ij,jk->ik", rows.design, block)
                own[:, a, b] = np.einsum("ij,ij->i", left, rows.design)
        total = own.copy()
        for a in range(1, count):
            for b in range(1, count):
                total[:, a, b] += own[:, 0, 0] + own[:, 0, b] + own[:, a, 0]
            total[:, 0, a] = own[:, 0, 0] + own[:, 0, a]
            total[:, a, 0] = total[:, 0, a]
        return total


def _by_block(by_log_odds: Floats) -> Floats:
    """Turn derivatives by (t_0, t_o, …) into those by (α·z, b_o·z, …): a calibration moves all log-odds alike."""
    found = by_log_odds.copy()
    found[:, 0] = by_log_odds.sum(axis=1)
    return found


def _pull(found: _Derivatives, spread: Floats) -> Floats:
    """Return Σ_jk l_ijk·S_jk for l = log q, whose q has no mixed derivatives by t, shape (n, 1 + m)."""
    q = found.q[:, None]
    variance = np.einsum("ijj->ij", spread)
    with_first = np.einsum("ijk,ik->ij", spread, found.first)
    curved = (found.second * variance).sum(axis=1, keepdims=True)
    square = (with_first * found.first).sum(axis=1, keepdims=True)
    return np.asarray(
        found.third * variance / q
        - (found.first * curved + 2.0 * found.second * with_first) / q**2
        + 2.0 * found.first * square / q**3
    )


def rows_of_cells(
    cell: Integers,
    reach: Floats,
    churn_probability: Floats,
    has_churned: NDArray[np.bool_],
    signals: Floats,
    smallest_probability: float,
) -> list[CellRows]:
    """Split n customers by cell; ``reach`` (n, k) is the share of each customer's arm that each offer reached."""
    design = np.column_stack([np.ones(len(cell)), signals])
    log_odds = logit(np.clip(churn_probability, smallest_probability, 1.0 - smallest_probability))
    sign = np.where(has_churned, 1.0, -1.0)
    found = []
    for each in np.unique(cell):
        mine = cell == each
        offers = np.flatnonzero((reach[mine] > 0).any(axis=0))
        shares = reach[mine][:, offers]
        alone = np.maximum(1.0 - shares.sum(axis=1), 0.0)
        found.append(
            CellRows(
                int(each),
                tuple(offers.tolist()),
                design[mine],
                log_odds[mine],
                sign[mine],
                np.column_stack([alone, shares]),
            )
        )
    return found
