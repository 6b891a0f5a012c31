"""How many of the contacted accept an offer: a logistic with one number per offer and a prior from the seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import expit, logit

from models_ml.effects.posterior import DIGITS

WIDEST = 40.0  # log-odds; beyond it a share is 0 or 1 to the last digit


@dataclass(frozen=True)
class Acceptance:
    """Share of the contacted who accept, 0 to 1, and the sd of its log-odds."""

    rate: float
    log_odds_sd: float
    is_measured: bool


def acceptance_posterior(
    contacts: int, accepted: int, prior_rate: float, prior_sd: float, measured_below_variance_share: float
) -> Acceptance:
    """Return the Laplace posterior of logit q ~ N(logit prior_rate, prior_sd²) after ``accepted`` of ``contacts``.

    Without contacts, and with a prior rate of exactly 0 or 1 (nothing to accept, or certain to be taken), it is
    the prior exactly.

    Parameters
    ----------
    contacts, accepted : int
        0 ≤ accepted ≤ contacts, randomised contacts that took place.
    prior_rate : float
        In [0, 1].
    prior_sd : float
        > 0, log-odds.
    measured_below_variance_share : float
        The rate is measured once its variance is below this share of the prior's.

    Examples
    --------
    Eight of ten accept where a quarter was expected:

    >>> found = acceptance_posterior(10, 8, 0.25, 0.5, 0.5)
    >>> round(found.rate, 3), round(found.log_odds_sd, 3), found.is_measured
    (0.446, 0.393, False)
    >>> acceptance_posterior(0, 0, 0.25, 0.5, 0.5).rate
    0.25
    """
    if contacts == 0 or prior_rate in (0.0, 1.0):
        return Acceptance(prior_rate, prior_sd, is_measured=False)
    middle, precision = float(logit(prior_rate)), 1.0 / prior_sd**2

    def slope(log_odds: float) -> float:
        return accepted - contacts * float(expit(log_odds)) - precision * (log_odds - middle)

    reach = WIDEST + abs(middle) + contacts / precision  # the slope changes its sign within it
    mode = float(brentq(slope, -reach, reach, xtol=1e-13))
    rate = float(expit(mode))
    sd = 1.0 / math.sqrt(precision + contacts * rate * (1.0 - rate))
    return Acceptance(
        round(rate, DIGITS), round(sd, DIGITS), sd**2 < measured_below_variance_share * prior_sd**2
    )
