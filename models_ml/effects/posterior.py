r"""What randomised contacts say about the effect of each offer: a Laplace posterior.

Chance assigns customer *i* to an offer *a* or to none. With p0 the churn probability if left alone, z the
intercept and the reason signals,

    logit p0'_i = logit p0_i + δ_stratum          p0, recalibrated on the randomised customers
    logit pa_i  = logit p0'_i + b_a · z_i         churn probability under the offer
    y_i ~ Bernoulli((1 − r) · p0'_i + r · pa_i)

where r is the share of those assigned alike whom the contact reached (1 in a past trial, 0 for a control). What
was assigned counts, not what was executed: who leaves before the call is never called, so the customers reached
differ from the controls by more than the contact. Nor may an action nobody executes teach that an offer is
useless: with r = 0 the row says nothing about b.

Priors: b ~ N(mean, sd²) from the seed, each δ ~ N(0, recalibration_sd²). δ and b are found together, so that a
recalibration known from a few controls only leaves the effects as uncertain as they are. The mode comes from
Fisher scoring with step halving, the covariance from the curvature there (Gelman et al. 2013,
*Bayesian Data Analysis*, section 4.1); with r = 1 that is Newton's method on a logistic regression with offset.
The mean lies half a covariance times the third derivatives away from the mode (Lindley 1980, *Approximate Bayesian
methods*): few churners make a posterior lean, and the mode alone would be off by a few hundredths of its sd.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit, logit

from models_ml.effects.randomised_outcomes import STRATA, Evidence, Floats, Priors, scaled_to_effective_size
from models_ml.effects.settings import EffectSettings
from models_ml.errors import BayesPilotError


class LogPosterior:
    """Log posterior of the shifts (one per stratum), then the effects (offer by offer), as one vector.

    The likelihood is that of :mod:`models_ml.effects.posterior`.
    """

    def __init__(self, evidence: Evidence, priors: Priors, settings: EffectSettings) -> None:
        low = settings.smallest_probability
        self.low = low
        self.evidence = evidence
        self.offset = logit(np.clip(evidence.churn_probability, low, 1 - low))
        self.design = evidence.design
        self.strata = len(STRATA)
        self.shape = priors.mean.shape
        self.prior_mean = np.concatenate([np.zeros(self.strata), priors.mean.ravel()])
        self.precision = 1.0 / np.square(
            np.concatenate([np.full(self.strata, settings.recalibration_sd), priors.sd.ravel()])
        )
        self.rows = [np.flatnonzero(evidence.offer == offer) for offer in range(self.shape[0])]

    def probabilities(self, parameters: Floats) -> tuple[Floats, Floats, Floats]:
        """Return p0', pa and the churn probability of those assigned, each of shape (n,)."""
        share = self.evidence.executed_share
        base = self.offset + parameters[: self.strata][self.evidence.stratum]
        moved = np.array(base)
        effects = parameters[self.strata :].reshape(self.shape)
        for offer, rows in enumerate(self.rows):
            moved[rows] += np.einsum("ij,j->i", self.design[rows], effects[offer])
        alone, contacted = expit(base), expit(moved)
        mixed = (1.0 - share) * alone + share * contacted
        return alone, contacted, np.clip(mixed, self.low * 1e-6, 1 - 1e-12)

    def height(self, parameters: Floats) -> float:
        """Return the log posterior up to a constant."""
        mixed = self.probabilities(parameters)[2]
        likelihood = np.where(self.evidence.has_churned, np.log(mixed), np.log1p(-mixed))
        away = parameters - self.prior_mean
        return float(np.sum(self.evidence.weight * likelihood) - 0.5 * np.sum(self.precision * away * away))

    def _slopes(self, parameters: Floats) -> tuple[Floats, Floats, Floats]:
        """Return how p moves with the shift and with b·z, and p itself."""
        alone, contacted, mixed = self.probabilities(parameters)
        with_effect = self.evidence.executed_share * contacted * (1.0 - contacted)
        return (1.0 - self.evidence.executed_share) * alone * (1.0 - alone) + with_effect, with_effect, mixed

    def gradient(self, parameters: Floats) -> Floats:
        """Return the slope of the height, of shape (parameters,)."""
        with_shift, with_effect, mixed = self._slopes(parameters)
        residual = self.evidence.weight * (self.evidence.has_churned - mixed) / (mixed * (1.0 - mixed))
        gradient = -self.precision * (parameters - self.prior_mean)
        gradient[: self.strata] += np.bincount(
            self.evidence.stratum, weights=residual * with_shift, minlength=self.strata
        )
        effects = gradient[self.strata :].reshape(self.shape)
        for offer, rows in enumerate(self.rows):
            effects[offer] += np.einsum("i,ij->j", (residual * with_effect)[rows], self.design[rows])
        return gradient

    def information(self, parameters: Floats) -> Floats:
        """Return expected information plus prior precision, of shape (parameters, parameters)."""
        with_shift, with_effect, mixed = self._slopes(parameters)
        scale = 1.0 / (mixed * (1.0 - mixed))
        return self._assembled(
            scale * with_shift**2, scale * with_shift * with_effect, scale * with_effect**2
        )

    def curvature(self, parameters: Floats) -> Floats:
        """Return observed information plus prior precision; the expected one where r is 0 or 1."""
        alone, contacted, mixed = self.probabilities(parameters)
        by_d, by_e = self._derivatives(alone, contacted)
        lean = (self.evidence.has_churned - mixed) / (mixed * (1.0 - mixed))
        (d, d_again, _), (e, e_again, _) = by_d, by_e
        square = lean**2
        return self._assembled(
            square * d * d - lean * d_again, square * d * e - lean * e_again, square * e * e - lean * e_again
        )

    def _derivatives(self, alone: Floats, contacted: Floats) -> tuple[list[Floats], list[Floats]]:
        """Return the first three derivatives of p by the shift, and by anything once the effect is in it."""
        share = self.evidence.executed_share
        by_e = [share * each for each in _curves(contacted)]
        return [(1.0 - share) * each + also for each, also in zip(_curves(alone), by_e, strict=True)], by_e

    def _assembled(self, dd: Floats, de: Floats, ee: Floats) -> Floats:
        """Add up each row's information on shift × shift, shift × effect and effect × effect, and the prior's."""
        weight, stratum, width = self.evidence.weight, self.evidence.stratum, self.shape[1]
        information = np.diag(self.precision)
        diagonal = np.arange(self.strata)
        information[diagonal, diagonal] += np.bincount(stratum, weights=weight * dd, minlength=self.strata)
        for offer, rows in enumerate(self.rows):
            at = slice(self.strata + offer * width, self.strata + (offer + 1) * width)
            z = self.design[rows]
            information[at, at] += np.einsum("i,ij,ik->jk", (weight * ee)[rows], z, z)
            for each in range(self.strata):
                mine = stratum[rows] == each
                cross = np.einsum("i,ij->j", (weight * de)[rows][mine], z[mine])
                information[each, at] += cross
                information[at, each] += cross
        return information

    def skewness(self, parameters: Floats, covariance: Floats) -> Floats:
        r"""Return how far the mean lies from the mode: half the covariance times its contraction with l'''."""
        evidence, strata, width = self.evidence, self.strata, self.shape[1]
        alone, contacted, mixed = self.probabilities(parameters)
        by_d, by_e = self._derivatives(alone, contacted)  # shift d, effect e
        lean = (evidence.has_churned - mixed) / (mixed * (1.0 - mixed))  # l' in p; l'' = −l'², l''' = 2 l'³

        def third(a: Floats, b: Floats, c: Floats, ab: Floats, ac: Floats, bc: Floats, abc: Floats) -> Floats:
            return 2 * lean**3 * a * b * c - lean**2 * (ab * c + ac * b + bc * a) + lean * abc

        d, e = by_d[0], by_e[0]
        ddd = third(d, d, d, by_d[1], by_d[1], by_d[1], by_d[2])
        dde = third(d, d, e, by_d[1], by_e[1], by_e[1], by_e[2])
        dee = third(d, e, e, by_e[1], by_e[1], by_e[1], by_e[2])
        eee = third(e, e, e, by_e[1], by_e[1], by_e[1], by_e[2])
        dd = np.diag(covariance)[:strata][evidence.stratum]
        de, ee = np.zeros(len(evidence)), np.zeros(len(evidence))
        for offer, rows in enumerate(self.rows):
            at = slice(strata + offer * width, strata + (offer + 1) * width)
            z = self.design[rows]
            de[rows] = np.einsum("ij,ij->i", covariance[:strata, at][evidence.stratum[rows]], z)
            ee[rows] = np.einsum("ij,jk,ik->i", z, covariance[at, at], z)
        pull_d = evidence.weight * (ddd * dd + 2 * dde * de + dee * ee)
        pull_e = evidence.weight * (dde * dd + 2 * dee * de + eee * ee)
        pull = np.zeros(len(parameters))
        pull[:strata] = np.bincount(evidence.stratum, weights=pull_d, minlength=strata)
        effects = pull[strata:].reshape(self.shape)
        for offer, rows in enumerate(self.rows):
            effects[offer] = np.einsum("i,ij->j", pull_e[rows], self.design[rows])
        return 0.5 * np.einsum("ij,j->i", covariance, pull)


def _curves(probability: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the first three derivatives of the logistic function where it has this value."""
    first = probability * (1.0 - probability)
    second = first * (1.0 - 2.0 * probability)
    return first, second, first * (1.0 - 6.0 * first)


TOLERANCE = 1e-10  # largest step, in log-odds, that counts as arrived
MAXIMUM_STEPS = 200
MAXIMUM_HALVINGS = 60
ROUNDING = 1e-11  # share of the height of the log posterior that a sum may be off by
SMALLEST_CURVATURE = 0.1  # of the widest prior's: a mode flatter than that is no top to trust
DIGITS = 9  # beyond them, sums may differ with the linear algebra library


@dataclass(frozen=True)
class Posterior:
    """Normal posterior of the effects: ``mean`` and ``sd`` of shape (k, 1 + s), log-odds of churn.

    ``shift`` and ``shift_sd`` (one per stratum) recalibrate the churn probabilities; ``is_measured`` (k, 1 + s)
    tells where evidence outweighs the prior.
    """

    mean: Floats
    sd: Floats
    shift: Floats
    shift_sd: Floats
    is_measured: NDArray[np.bool_]


def effect_posterior(evidence: Evidence, priors: Priors, settings: EffectSettings) -> Posterior:
    """Return the posterior; exactly the prior for an offer without evidence.

    Parameters
    ----------
    evidence : Evidence
        Randomised customers only.
    priors : Priors
    settings : EffectSettings

    Raises
    ------
    BayesPilotError
        When no mode is found, which a finite prior and finite evidence exclude.

    Examples
    --------
    Without evidence nothing is learned:

    >>> from models_ml.effects.settings import load_settings
    >>> priors = Priors(("call",), (), np.array([[-0.1]]), np.array([[0.2]]))
    >>> nobody = Evidence(*(np.empty(0, int),) * 3, np.empty(0), np.empty(0, bool), *(np.empty(0),) * 2,
    ...                   np.empty((0, 0)))
    >>> found = effect_posterior(nobody, priors, load_settings())
    >>> found.mean.tolist(), found.sd.tolist(), found.is_measured.tolist()
    ([[-0.1]], [[0.2]], [[False]])
    """
    problem = LogPosterior(scaled_to_effective_size(evidence), priors, settings)
    mode = _mode(problem)
    covariance = _covariance(problem, mode)
    deviation: Floats = np.sqrt(np.diag(covariance))
    lean = problem.skewness(mode, covariance)
    centre = mode + np.maximum(np.minimum(lean, deviation), -deviation)
    strata = len(STRATA)
    shape = priors.mean.shape
    taught = np.zeros(shape[0], dtype=bool)
    taught[np.unique(evidence.offer[(evidence.offer >= 0) & (evidence.executed_share > 0)])] = True
    mean = np.where(taught[:, None], np.round(centre[strata:].reshape(shape), DIGITS), priors.mean)
    sd = np.where(taught[:, None], np.round(deviation[strata:].reshape(shape), DIGITS), priors.sd)
    return Posterior(
        mean=mean,
        sd=sd,
        shift=np.round(centre[:strata], DIGITS),
        shift_sd=np.round(deviation[:strata], DIGITS),
        is_measured=np.square(sd) < settings.measured_below_variance_share * np.square(priors.sd),
    )


def _covariance(problem: LogPosterior, mode: Floats) -> Floats:
    """Return the inverse curvature; that of the expected one where some direction is not curved downwards."""
    curvature = problem.curvature(mode)
    if np.linalg.eigvalsh(curvature).min() < SMALLEST_CURVATURE * problem.precision.min():
        curvature = problem.information(mode)
    return np.asarray(np.linalg.inv(curvature), dtype=np.float64)


def _mode(problem: LogPosterior) -> Floats:
    parameters = np.array(problem.prior_mean)
    height = problem.height(parameters)
    for _ in range(MAXIMUM_STEPS):
        slope = problem.gradient(parameters)
        step = cho_solve(cho_factor(problem.information(parameters)), slope)
        if np.abs(step).max() < TOLERANCE:
            return parameters
        reached = problem.height(parameters + step)
        if float(slope @ step) > ROUNDING * (1.0 + abs(height)):  # below it, heights compare noise
            for _ in range(MAXIMUM_HALVINGS):
                if reached >= height:
                    break
                step *= 0.5
                reached = problem.height(parameters + step)
        parameters, height = parameters + step, reached
    raise BayesPilotError(
        "no posterior of the offer effects was found",
        where="offer_effects",
        values=[float(np.abs(step).max())],
        next_step="look for implausible rows: dbt show -s int_effect_evidence",
    )
