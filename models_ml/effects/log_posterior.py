"""The log posterior of recalibration and offer effects: height, slopes, information and lean."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from models_ml.effects.evidence import STRATA, Evidence, Floats, Priors
from models_ml.effects.settings import EffectSettings


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
