r"""What randomised episodes say about the effect of each offer: a normal posterior.

For a customer of cell c, assigned by chance to arm g, with z = (1, signals),

    t_0 = logit p_0 + α_c·z                   log-odds of churn if left alone, α_c = δ_c + γ + η_c
    t_o = t_0 + b_o·z                         under offer o
    P(y | g) = Σ_j r_gj · σ(t_j)              j = 0 (nothing, r_g0 = 1 − Σ_o r_go) and all offers

An arm is what chance assigned, never what was executed: customers who leave before the call are never called, so that
the customers reached differ from the controls by more than the contact. What was executed enters as r_go, the share of
the arm that an offer reached: actions that were not executed say nothing about their offer, and contacted controls do
not make it look weak.

Churn probabilities may be off, and an error along a signal would pass as an effect. So each cell c (the episodes of one
kind of randomisation, see ``RandomisedEpisodes.cells``) has calibration coefficients α_c, one for the level and one per
signal, which are estimated with the effects. δ_c, γ and η_c occur only in the sum α_c, so that the α_c stand for them:
normal around 0 with the covariance τ²·I between any two cells (from γ) and 2τ²·I + λ²·e₀e₀ᵀ within one (from γ, η_c and
δ_c), τ the slopes' sd, λ that of the level.

Effects are normal with the seed's means and sds; those of two offers on the same signal are correlated. The mode comes
from Fisher scoring with step halving, the covariance from the curvature there (Gelman et al. 2013, *Bayesian Data
Analysis*, section 4.1). The mean lies half a covariance times the third derivatives away from the mode (Lindley 1980,
*Approximate Bayesian methods*): few churners make a posterior skew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from models_ml.decisions.offer_beliefs import EffectBeliefs
from models_ml.effects.effect_settings import EffectSettings
from models_ml.errors import BayesPilotError

TOLERANCE = 1e-10  # largest step, in prior sds, that counts as arrived
MAXIMUM_STEPS = 200
MAXIMUM_HALVINGS = 60
ROUNDING = 1e-11  # share of the log density that a sum may be off by
SMALLEST_CURVATURE = 0.1  # of the prior's: a mode flatter than that is no top to trust
DIGITS = 9  # beyond them, sums may differ with the linear algebra library
COVARIANCE_DIGITS = 12

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class EffectPriors:
    """Beliefs about k offers over s signals, log-odds of churn.

    ``mean`` and ``sd`` have shape (k, 1 + s), the intercept first, then ``signals`` in order; effects of two offers on
    the same signal have correlation ``correlation``, in [0, 1).
    """

    offers: tuple[str, ...]
    signals: tuple[str, ...]
    mean: Floats
    sd: Floats
    correlation: float

    @property
    def covariance(self) -> Floats:
        """Covariance of ``mean`` read row by row: c·sd_o·sd_o′ between offers on one signal, 0 between signals."""
        return self.covariance_at(self.correlation)

    def covariance_at(self, correlation: float) -> Floats:
        """Return the covariance that another correlation between offers would give."""
        offers, width = self.sd.shape
        between = np.full((offers, offers), correlation)
        np.fill_diagonal(between, 1.0)
        covariance = np.zeros((offers, width, offers, width))
        for column in range(width):
            sd = self.sd[:, column]
            covariance[:, column, :, column] = between * np.outer(sd, sd)
        return covariance.reshape(offers * width, offers * width)


@dataclass(frozen=True)
class RandomisedEpisodes:
    """n episodes in which chance assigned an offer or nothing.

    Attributes
    ----------
    cells : tuple of str
        Names of the C cells: one per compared offer for pick-holdouts, one for trials, one for past trials.
    cell : ndarray of int of shape (n,)
        Position in ``cells``.
    arm : ndarray of int of shape (n,)
        Position in ``reach``.
    reach : ndarray of shape (arms, k)
        Share of the arm's customers (same assignment and month) that each offer reached within the horizon; rows add
        up to at most 1. Control arms too.
    churn_probability : ndarray of shape (n,)
        In [0, 1], if left alone, as known before the assignment.
    has_churned : ndarray of bool of shape (n,)
        Left within the horizon of the episode's first day, whenever contacted.
    signals : ndarray of shape (n, s)
        Reason signals on that day, about 0–2.
    """

    cells: tuple[str, ...]
    cell: Integers
    arm: Integers
    reach: Floats
    churn_probability: Floats
    has_churned: NDArray[np.bool_]
    signals: Floats


@dataclass(frozen=True)
class EffectPosterior:
    """Beliefs about the effects, and ``calibration`` (C, 1 + s): mean α_c, by which churn probabilities are off."""

    beliefs: EffectBeliefs
    calibration: Floats


def shares_reached(
    arm: Integers, assignment: Integers, reached: Integers, offers: int, prior_customers: float
) -> Floats:
    """Return the share of each arm that each offer reached, shape (arms, offers).

    The share of an arm is drawn towards that of all arms with the same assignment, as if ``prior_customers`` more had
    been observed there: the share of an arm with a single customer would be that customer's own contact, which depends
    on having stayed long enough.

    Parameters
    ----------
    arm : ndarray of int of shape (n,)
        0, 1, …: customers of the same cell, assignment and month.
    assignment : ndarray of int of shape (n,)
        ≥ 0: the same for all arms that differ by the month only.
    reached : ndarray of int of shape (n,)
        The offer that first reached the customer within the horizon; −1 for none.
    offers : int
    prior_customers : float
        > 0.

    Examples
    --------
    Two months of one assignment: one of one reached in the first, one of three in the second; overall a half.

    >>> shares_reached(np.array([0, 1, 1, 1]), np.zeros(4, int), np.array([0, 0, -1, -1]), 1, 1.0).tolist()
    [[0.75], [0.375]]
    """
    arms, kinds = int(arm.max(initial=-1)) + 1, int(assignment.max(initial=-1)) + 1
    assigned_of_arm = np.zeros(arms, dtype=np.int64)
    assigned_of_arm[arm] = assignment
    is_reached = reached[:, None] == np.arange(offers)
    count, total = np.bincount(arm, minlength=arms), np.bincount(assignment, minlength=kinds)
    share = np.empty((arms, offers))
    for offer in range(offers):
        here = np.bincount(arm, weights=is_reached[:, offer], minlength=arms)
        overall = np.bincount(assignment, weights=is_reached[:, offer], minlength=kinds) / np.maximum(
            total, 1
        )
        share[:, offer] = (here + prior_customers * overall[assigned_of_arm]) / (count + prior_customers)
    return share


def effect_posterior(
    episodes: RandomisedEpisodes, priors: EffectPriors, settings: EffectSettings
) -> EffectPosterior:
    """Return the posterior; exactly the prior where no offer reached a customer.

    What one offer's evidence says about another through the correlation of their priors moves its mean and sd, but
    leaves it assumed: an effect is measured where its own evidence would do so without any correlation.

    Raises
    ------
    BayesPilotError
        When shares reached do not lie within 0 to 1, a number is missing, or no mode is found.

    Examples
    --------
    >>> from models_ml.effects.effect_settings import load_settings
    >>> priors = EffectPriors(("call",), (), np.array([[-0.1]]), np.array([[0.2]]), 0.5)
    >>> none = np.empty(0, int)
    >>> empty = RandomisedEpisodes(("trial",), none, none, np.empty((0, 1)), np.empty(0), none > 0, np.empty((0, 0)))
    >>> found = effect_posterior(empty, priors, load_settings()[0]).beliefs
    >>> found.mean.tolist(), found.covariance.round(9).tolist(), found.is_measured.tolist()
    ([[-0.1]], [[0.04]], [[False]])
    """
    _check(episodes)
    offers, width = priors.mean.shape
    cells = len(episodes.cells)
    problem = _problem(episodes, priors, settings)
    mode = _mode(problem)
    covariance = _covariance(problem, mode)
    deviation = np.sqrt(np.diag(covariance))
    centre = mode + np.clip(problem.mean_minus_mode(mode, covariance), -deviation, deviation)
    own_evidence = np.zeros(offers, dtype=bool)
    for rows in problem.rows:
        own_evidence[list(rows.offers)] = True
    effects = cells * width
    beliefs = EffectBeliefs(
        priors.offers,
        priors.signals,
        np.round(centre[effects:].reshape(offers, width), DIGITS),
        np.round(covariance[effects:, effects:], COVARIANCE_DIGITS),
        _is_measured(problem, mode, priors, settings) & own_evidence[:, None],
    )
    if not own_evidence.any():
        beliefs = prior_beliefs(priors)
    elif priors.correlation == 0.0:
        beliefs = _with_priors(beliefs, priors, ~own_evidence)
    return EffectPosterior(beliefs, np.round(centre[:effects].reshape(cells, width), DIGITS))


def prior_beliefs(priors: EffectPriors) -> EffectBeliefs:
    """Return the seed's beliefs as they are."""
    return EffectBeliefs(
        priors.offers, priors.signals, priors.mean, priors.covariance, np.zeros(priors.mean.shape, dtype=bool)
    )


def _with_priors(beliefs: EffectBeliefs, priors: EffectPriors, unknown: NDArray[np.bool_]) -> EffectBeliefs:
    """Put the prior's own digits back for offers of which nothing was learned."""
    rows = np.repeat(unknown, priors.mean.shape[1])
    covariance = np.where(rows[:, None] | rows, priors.covariance, beliefs.covariance)
    mean = np.where(unknown[:, None], priors.mean, beliefs.mean)
    return EffectBeliefs(beliefs.offers, beliefs.signals, mean, covariance, beliefs.is_measured)


def _check(episodes: RandomisedEpisodes) -> None:
    numbers: Sequence[tuple[str, Floats, float, float]] = (
        ("the share reached", episodes.reach, 0.0, 1.0),
        ("the sum of the shares reached", episodes.reach.sum(axis=1), 0.0, 1.0 + 1e-9),
        ("churn_probability", episodes.churn_probability, 0.0, 1.0),
        ("a reason signal", episodes.signals, -1e6, 1e6),
    )
    for name, values, low, high in numbers:
        wrong = ~((values >= low) & (values <= high))
        if wrong.any():
            raise BayesPilotError(
                f"{name} is missing or outside [{low:g}, {high:g}]",
                where="the randomised episodes",
                values=values[wrong].tolist(),
                next_step="dbt build -s +int_effect_evidence",
            )


def _problem(episodes: RandomisedEpisodes, priors: EffectPriors, settings: EffectSettings) -> LogPosterior:
    cells, width = len(episodes.cells), priors.mean.shape[1]
    calibration = calibration_covariance(cells, width, settings)
    size = cells * width
    covariance = np.zeros((size + priors.mean.size,) * 2)
    covariance[:size, :size] = calibration
    covariance[size:, size:] = priors.covariance
    rows = rows_of_cells(
        episodes.cell,
        episodes.reach[episodes.arm],
        episodes.churn_probability,
        episodes.has_churned,
        episodes.signals,
        settings.smallest_probability,
    )
    mean = np.concatenate([np.zeros(size), priors.mean.ravel()])
    return LogPosterior(rows, Prior.of(mean, covariance), cells, width)


def calibration_covariance(cells: int, width: int, settings: EffectSettings) -> Floats:
    """Return the prior covariance of all α_c, cell by cell, shape (C·(1 + s), C·(1 + s)).

    α_c = δ_c + γ + η_c: the level of the cell (sd ``calibration_level_sd``), an error that all cells share and one of
    the cell alone (each with sd ``calibration_slope_sd`` per coefficient).

    Examples
    --------
    >>> from models_ml.effects.effect_settings import load_settings
    >>> calibration_covariance(2, 1, load_settings()[0]).round(6).tolist()
    [[0.22, 0.09], [0.09, 0.22]]
    """
    shared = settings.calibration_slope_sd**2 * (np.ones((cells, cells)) + np.eye(cells))
    covariance = np.einsum("ab,jk->ajbk", shared, np.eye(width))
    covariance[np.arange(cells), 0, np.arange(cells), 0] += settings.calibration_level_sd**2
    return covariance.reshape(cells * width, cells * width)


def _is_measured(
    problem: LogPosterior, mode: Floats, priors: EffectPriors, settings: EffectSettings
) -> NDArray[np.bool_]:
    """Tell for which effects their own evidence leaves less than ``measured_below_variance_share`` of the variance.

    The variance is that of the same rows under a prior in which offers are independent, since evidence about one offer
    must not make another one count as measured. It is taken at the mode of the actual prior, which spares a second fit.
    """
    calibration = problem.cells * problem.width
    independent = problem.prior.covariance.copy()
    independent[calibration:, calibration:] = priors.covariance_at(0.0)
    without_correlation = LogPosterior(
        problem.rows, Prior.of(mode, independent), problem.cells, problem.width
    )
    covariance = _covariance(without_correlation, mode)
    variance = np.diag(covariance)[calibration:].reshape(priors.sd.shape)
    return np.asarray(variance < settings.measured_below_variance_share * np.square(priors.sd))


def _whitened(problem: LogPosterior, information: Floats) -> Floats:
    """Return the curvature of the log posterior in units of prior sds: 1 wherever the rows say nothing."""
    factor = problem.prior.factor
    return np.asarray(factor.T @ information @ factor + np.eye(len(factor)))


def _covariance(problem: LogPosterior, mode: Floats) -> Floats:
    """Return the inverse curvature; that of the expected one where some direction is not curved downwards."""
    curvature = _whitened(problem, problem.observed_information(mode))
    if np.linalg.eigvalsh(curvature).min() < SMALLEST_CURVATURE:
        curvature = _whitened(problem, problem.expected_information(mode))
    factor = problem.prior.factor
    covariance = factor @ np.linalg.inv(curvature) @ factor.T
    return np.asarray((covariance + covariance.T) / 2.0)


def _mode(problem: LogPosterior) -> Floats:
    factor = problem.prior.factor
    parameters = np.array(problem.prior.mean)
    density = problem.log_density(parameters)
    step: Floats = np.zeros_like(parameters)
    for _ in range(MAXIMUM_STEPS):
        gradient = factor.T @ problem.gradient(parameters)
        curvature = _whitened(problem, problem.expected_information(parameters))
        step = np.asarray(np.linalg.solve(curvature, gradient), dtype=np.float64)
        if np.abs(step).max() < TOLERANCE:
            return parameters
        reached = problem.log_density(parameters + factor @ step)
        if float(gradient @ step) > ROUNDING * (1.0 + abs(density)):  # below it, densities compare noise
            for _ in range(MAXIMUM_HALVINGS):
                if reached >= density:
                    break
                step *= 0.5
                reached = problem.log_density(parameters + factor @ step)
        parameters, density = parameters + factor @ step, reached
    raise BayesPilotError(
        "no posterior of the offer effects was found",
        where="offer_effects",
        values=[float(np.abs(step).max())],
        next_step="look for implausible rows: dbt show -s int_effect_evidence",
    )


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
