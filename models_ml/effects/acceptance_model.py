r"""Which customers accept an offer: a logistic regression whose prior is the seed's acceptance rate.

    logit q_io = a_o + w_o · (x_i − x̄_o)

for customers i contacted with offer o, x̄_o the mean features of those contacted with it. a_o is normal around the logit
of ``acceptance_rate`` with sd ``acceptance_sd``. A slope of which something is believed has the mean and sd that the
seed states. Of the others nothing is known beforehand; they are normal around 0, with three sources:

    w_o = u + u_o − κ·b_o

u the same for all offers (sd ``shared_slope_sd``), u_o the offer's own (sd ``own_slope_sd``), and κ (sd
``effect_slope_sd``) how much more often customers accept that the offer keeps; b_o is what is believed of its effect. A
plan chooses the customers that an offer helps; without κ, their acceptances would be learned offer by offer, long after
they were paid for. The mode makes expected acceptances add up to observed ones but for the pull of the prior, which is
what planned costs need.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from models_ml.decisions.offer_beliefs import AcceptanceModel, Floats, log_odds_of
from models_ml.effects.effect_settings import AcceptanceSettings
from models_ml.errors import BayesPilotError

DIGITS = 9  # beyond them, sums may differ with the linear algebra library
TOLERANCE = 1e-10
MAXIMUM_STEPS = 100


@dataclass(frozen=True)
class AcceptancePriors:
    """Beliefs about k offers.

    ``rate`` (k,) in [0, 1] and ``sd`` (k,) > 0 of its log-odds; ``effect`` (k, f) is the offer's effect on the
    log-odds of churn per unit of each feature. ``slope_mean`` (k, f) and ``slope_sd`` (k, f) are beliefs about the
    slopes, log-odds of accepting per unit of each feature; where nothing is believed, the mean is 0 and the sd NaN.
    """

    offers: tuple[str, ...]
    rate: Floats
    sd: Floats
    effect: Floats
    slope_mean: Floats
    slope_sd: Floats


@dataclass(frozen=True)
class ContactOutcomes:
    """n contacts that took place: position of the ``offer`` (n,), ``features`` (n, f) and ``has_accepted`` (n,)."""

    offer: NDArray[np.int64]
    features: Floats
    has_accepted: NDArray[np.bool_]


def fit_acceptance(
    outcomes: ContactOutcomes,
    priors: AcceptancePriors,
    features: tuple[str, ...],
    settings: AcceptanceSettings,
    measured_below_variance_share: float,
) -> AcceptanceModel:
    """Return the mode of the posterior; the prior where no customer was contacted, or where the rate is exactly 0 or 1.

    Parameters
    ----------
    outcomes : ContactOutcomes
    priors : AcceptancePriors
    features : tuple of str
        Names of the f columns of ``outcomes.features``.
    settings : AcceptanceSettings
    measured_below_variance_share : float
        A rate is measured once the variance of its intercept is below this share of the prior's.

    Raises
    ------
    BayesPilotError
        When a feature is not a finite number.

    Examples
    --------
    Eight of ten accept where a quarter was expected:

    >>> outcomes = ContactOutcomes(np.zeros(10, int), np.empty((10, 0)), np.arange(10) < 8)
    >>> none = np.empty((1, 0))
    >>> priors = AcceptancePriors(("call",), np.array([0.25]), np.array([0.5]), none, none, none)
    >>> found = fit_acceptance(outcomes, priors, (), AcceptanceSettings(0.3, 0.2, 1.0), 0.5)
    >>> float(expit(found.log_odds[0, 0]).round(3)), float(found.sd[0, 0].round(3))
    (0.446, 0.393)
    """
    if not np.isfinite(outcomes.features).all():
        raise BayesPilotError(
            "a feature of a contacted customer is missing",
            where="the contacts with a known answer",
            values=np.array(features)[~np.isfinite(outcomes.features).all(axis=0)].tolist(),
            next_step="dbt build -s +int_effect_evidence",
        )
    offers, width = len(priors.offers), 1 + len(features)
    is_certain = (priors.rate == 0.0) | (priors.rate == 1.0)
    rows = ~is_certain[outcomes.offer]
    offer, accepted = outcomes.offer[rows], outcomes.has_accepted[rows]
    centre = _centres(outcomes, offers)
    design = np.column_stack([np.ones(len(offer)), outcomes.features[rows] - centre[offer]])
    start = np.zeros((offers, width))
    start[:, 0], start[:, 1:] = log_odds_of(priors.rate), priors.slope_mean
    precision = np.asarray(np.linalg.inv(_prior_covariance(priors, width, settings)), dtype=np.float64)
    mode, covariance = _mode(design, offer, accepted, start, precision)
    sd = np.asarray(np.sqrt(np.diag(covariance)), dtype=np.float64).reshape(offers, width).round(DIGITS)
    contacted = np.bincount(offer, minlength=offers) > 0
    log_odds = np.round(mode, DIGITS)
    log_odds[~contacted, 0] = start[~contacted, 0]
    sd[:, 0] = np.where(contacted, sd[:, 0], priors.sd)
    is_measured = np.square(sd[:, 0]) < measured_below_variance_share * np.square(priors.sd)
    sd[is_certain] = 0.0
    return AcceptanceModel(priors.offers, features, log_odds, np.round(centre, DIGITS), sd, is_measured)


def _centres(outcomes: ContactOutcomes, offers: int) -> Floats:
    """Return the mean features of each offer's contacts; of all contacts for an offer without any."""
    width = outcomes.features.shape[1]
    if not len(outcomes.offer):
        return np.zeros((offers, width))
    centre = np.tile(outcomes.features.mean(axis=0), (offers, 1))
    for offer in np.unique(outcomes.offer):
        centre[offer] = outcomes.features[outcomes.offer == offer].mean(axis=0)
    return centre


def _prior_covariance(priors: AcceptancePriors, width: int, settings: AcceptanceSettings) -> Floats:
    offers = len(priors.offers)
    slopes = settings.shared_slope_sd**2 + settings.own_slope_sd**2 * np.eye(offers)
    covariance = np.zeros((offers, width, offers, width))
    covariance[:, 0, :, 0] = np.diag(np.square(priors.sd))
    for column in range(1, width):
        covariance[:, column, :, column] = slopes
    effect = settings.effect_slope_sd * priors.effect
    covariance[:, 1:, :, 1:] += np.einsum("ij,kl->ijkl", effect, effect)
    for offer, place in np.argwhere(np.isfinite(priors.slope_sd)):
        covariance[offer, 1 + place] = 0.0
        covariance[:, :, offer, 1 + place] = 0.0
        covariance[offer, 1 + place, offer, 1 + place] = priors.slope_sd[offer, place] ** 2
    return covariance.reshape(offers * width, offers * width)


def _mode(
    design: Floats, offer: NDArray[np.int64], accepted: NDArray[np.bool_], start: Floats, precision: Floats
) -> tuple[Floats, Floats]:
    """Return the mode (k, 1 + f) by Newton's method with step halving, and the inverse curvature there."""
    offers, width = start.shape
    mode = np.array(start)

    def height(parameters: Floats) -> float:
        log_odds = np.einsum("ij,ij->i", design, parameters[offer])
        away = (parameters - start).ravel()
        return float(
            np.sum(accepted * log_odds - np.logaddexp(0.0, log_odds)) - 0.5 * away @ precision @ away
        )

    def curvature_and_gradient(parameters: Floats) -> tuple[Floats, Floats]:
        q = expit(np.einsum("ij,ij->i", design, parameters[offer]))
        gradient = -(precision @ (parameters - start).ravel()).reshape(offers, width)
        curvature = precision.reshape(offers, width, offers, width).copy()
        for each in range(offers):
            mine = offer == each
            gradient[each] += np.einsum("ij,i->j", design[mine], (accepted - q)[mine])
            weighted = design[mine] * (q * (1.0 - q))[mine, None]
            curvature[each, :, each] += np.einsum("ij,ik->jk", weighted, design[mine])
        return curvature.reshape(offers * width, offers * width), gradient.ravel()

    for _ in range(MAXIMUM_STEPS):
        curvature, gradient = curvature_and_gradient(mode)
        step = np.linalg.solve(curvature, gradient).reshape(offers, width)
        if np.abs(step).max(initial=0.0) < TOLERANCE:
            break
        now = height(mode)
        while height(mode + step) < now and np.abs(step).max() > TOLERANCE:
            step *= 0.5
        mode = mode + step
    return mode, np.asarray(np.linalg.inv(curvature), dtype=np.float64)
