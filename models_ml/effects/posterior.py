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

from models_ml.effects.evidence import STRATA, Evidence, Floats, Priors, scaled_to_effective_size
from models_ml.effects.log_posterior import LogPosterior
from models_ml.effects.settings import EffectSettings
from models_ml.errors import BayesPilotError

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
