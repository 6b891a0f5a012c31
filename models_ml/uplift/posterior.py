"""The effect posterior: how each offer moves the outcome, and how that varies with the features.

    g(E[y | x, arm a]) = α + β·z + 1{a > 0} · (δ_a + θ_a·z)

z: the d features as the logistic candidate reads them, standardised, categories as indicators; g: log-odds
for a binary outcome, else the outcome in standard deviations. Independent normal priors around 0, that of θ with
the standard deviation under which the trial is most probable (type II maximum likelihood; MacKay 1992,
"Bayesian interpolation"): without heterogeneity θ shrinks to 0, and everybody is predicted the same effect on
the scale of g. Laplace posterior; expectations over it by Gauss-Hermite quadrature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit
from sklearn.pipeline import Pipeline

from models_ml.errors import BayesPilotError
from models_ml.threads import one_thread
from models_ml.training.candidates import CANDIDATES
from models_ml.training.schema import FeatureEncoder, fit_encoder
from models_ml.uplift.settings import UpliftSettings
from models_ml.uplift.trial import CONTROL, Floats, Trial

LINEAR = "logistic_regression"
_STEPS, _HALVINGS = 100, 40
_TOLERANCE = 1e-8
_SMALLEST = 1e-12


@dataclass(frozen=True)
class Design:
    """From features to z with a leading 1, shape (n, 1 + d)."""

    encoder: FeatureEncoder
    columns: Pipeline

    def matrix(self, features: pa.Table) -> Floats:
        """Return the design of each row, (n, 1 + d)."""
        z = np.asarray(self.columns.transform(self.encoder.encode(features)), dtype=np.float64)
        return np.column_stack([np.ones(len(z)), z])


def fit_design(trial: Trial, settings: UpliftSettings) -> Design:
    """Learn categories, medians and scales from the features of a trial."""
    encoder = fit_encoder(trial.features, trial.schema, settings.columns.categories_at_most)
    steps = CANDIDATES[LINEAR].build(encoder, settings.learners[LINEAR], settings.seed)[:-1]
    return Design(encoder, steps.fit(encoder.encode(trial.features)))


@dataclass(frozen=True)
class EffectPosterior:
    """Posterior of the coefficients: block 0 holds α and β, block a holds δ_a and θ_a, each (1 + d).

    ``interaction_sd`` is the prior standard deviation of θ that was found most probable; ``scale`` is 1 for
    log-odds, else the standard deviation of the outcome.
    """

    design: Design
    mean: Floats
    covariance: Floats
    offers: int
    is_binary: bool
    scale: float
    interaction_sd: float
    nodes: int

    def effects(self, features: pa.Table) -> Floats:
        """Return the expected effect of each offer on the outcome, (n, k)."""
        with one_thread():
            z = self.design.matrix(features)
            width = z.shape[1]
            blocks = [slice(at * width, (at + 1) * width) for at in range(self.offers + 1)]
            if not self.is_binary:
                return np.column_stack([self.scale * (z @ self.mean[at]) for at in blocks[1:]])
            alone = self._expected(z, self.mean[blocks[0]], self.covariance[blocks[0], blocks[0]])
            return np.column_stack([self._with_offer(z, blocks[0], at) - alone for at in blocks[1:]])

    def _with_offer(self, z: Floats, base: slice, at: slice) -> Floats:
        whole = self.covariance
        mixed = whole[base, base] + whole[base, at] + whole[at, base] + whole[at, at]
        return self._expected(z, self.mean[base] + self.mean[at], mixed)

    def _expected(self, z: Floats, mean: Floats, covariance: Floats) -> Floats:
        """Return E[σ(z·b)] for b ~ N(mean, covariance), (n,)."""
        centre = z @ mean
        deviation = np.sqrt(np.maximum(((z @ covariance) * z).sum(axis=1), 0.0))
        nodes, weights = np.polynomial.hermite_e.hermegauss(self.nodes)
        found = np.zeros(len(z))
        for node, weight in zip(nodes, weights / weights.sum(), strict=True):
            found += weight * expit(centre + node * deviation)
        return found


def fit_posterior(trial: Trial, settings: UpliftSettings) -> EffectPosterior:
    """Fit the posterior, with the most probable of the stated prior deviations of the interactions."""
    with one_thread():
        design = fit_design(trial, settings)
        z = design.matrix(trial.features)
        scale = 1.0 if trial.is_binary else float(trial.outcome.std())
        response = trial.outcome if trial.is_binary else (trial.outcome - trial.outcome.mean()) / scale
        problem = _Problem(z, response, trial.arm, len(trial.offers), trial.is_binary)
        mode, found = np.zeros(problem.size), []
        for deviation in settings.posterior.interaction_sds:
            precision = _precision(problem, settings, deviation)
            mode, curvature = problem.mode(mode, precision)
            found.append((problem.evidence(mode, curvature, precision), deviation, mode, curvature))
    _, deviation, mode, curvature = max(found, key=lambda one: one[0])
    return EffectPosterior(
        design,
        mode,
        np.asarray(np.linalg.inv(curvature), dtype=np.float64),
        len(trial.offers),
        trial.is_binary,
        scale,
        deviation,
        settings.posterior.nodes,
    )


def _precision(problem: _Problem, settings: UpliftSettings, interaction_sd: float) -> Floats:
    priors, slopes = settings.posterior, problem.width - 1
    base = [priors.intercept_sd, *[priors.baseline_sd] * slopes]
    offer = [priors.effect_sd, *[interaction_sd] * slopes]
    return 1.0 / np.square(np.array([*base, *offer * problem.offers]))


class _Problem:
    """Log posterior of the coefficients; sums over the rows of each arm, so that no (n, size) matrix is held."""

    def __init__(self, z: Floats, response: Floats, arm: np.ndarray, offers: int, is_binary: bool) -> None:
        self.width, self.offers, self.is_binary = z.shape[1], offers, is_binary
        self.size = self.width * (offers + 1)
        self.parts = [(z[arm == at], response[arm == at]) for at in range(offers + 1)]
        self.noise = 1.0 if is_binary else self._residual_variance()

    def _residual_variance(self) -> float:
        squares, rows = 0.0, 0
        for z, response in self.parts:
            fitted = z @ np.linalg.lstsq(z, response, rcond=None)[0]
            squares += float(((response - fitted) ** 2).sum())
            rows += max(len(response) - z.shape[1], 1)
        return max(squares / rows, _SMALLEST)

    def _linear(self, coefficients: Floats) -> list[Floats]:
        base = coefficients[: self.width]
        found = []
        for at, (z, _) in enumerate(self.parts):
            offer = 0.0 if at == CONTROL else coefficients[at * self.width : (at + 1) * self.width]
            found.append(z @ (base + offer))
        return found

    def log_likelihood(self, coefficients: Floats) -> float:
        """Return the log likelihood, up to a constant."""
        total = 0.0
        for linear, (_, response) in zip(self._linear(coefficients), self.parts, strict=True):
            if self.is_binary:
                total += float((response * linear - np.logaddexp(0.0, linear)).sum())
            else:
                total -= 0.5 * float(((response - linear) ** 2).sum()) / self.noise
        return total

    def slope_and_curvature(self, coefficients: Floats) -> tuple[Floats, Floats]:
        """Return gradient (size,) and information (size, size) of the log likelihood."""
        width = self.width
        slope, information = np.zeros(self.size), np.zeros((self.size, self.size))
        base = slice(0, width)
        for at, (linear, (z, response)) in enumerate(
            zip(self._linear(coefficients), self.parts, strict=True)
        ):
            fitted = expit(linear) if self.is_binary else linear
            weight = fitted * (1 - fitted) if self.is_binary else np.ones(len(fitted))
            part = z.T @ (response - fitted) / self.noise
            gram = (z * weight[:, None]).T @ z / self.noise
            slope[base] += part
            information[base, base] += gram
            if at != CONTROL:
                own = slice(at * width, (at + 1) * width)
                slope[own] += part
                information[own, own] += gram
                information[base, own] += gram
                information[own, base] += gram
        return slope, information

    def mode(self, start: Floats, precision: Floats) -> tuple[Floats, Floats]:
        """Return the mode of the posterior and its curvature, by Newton's method with halved steps."""
        at = start
        height = self._height(at, precision)
        for _ in range(_STEPS):
            slope, information = self.slope_and_curvature(at)
            curvature = information + np.diag(precision)
            step = cho_solve(cho_factor(curvature), slope - precision * at)
            gain = float(step @ (slope - precision * at))
            if gain < _TOLERANCE:
                return at, curvature
            for _ in range(_HALVINGS):
                reached = self._height(at + step, precision)
                if reached >= height:
                    break
                step = 0.5 * step
            at, height = at + step, reached
        raise BayesPilotError(
            "no posterior of the effects was found",
            where="the trial",
            next_step="look for features with extreme values, or leave the candidate effect_posterior out",
        )

    def _height(self, coefficients: Floats, precision: Floats) -> float:
        return self.log_likelihood(coefficients) - 0.5 * float((precision * coefficients**2).sum())

    def evidence(self, mode: Floats, curvature: Floats, precision: Floats) -> float:
        """Return the log of the probability of the data by Laplace's approximation, up to a constant."""
        determinant = float(np.linalg.slogdet(curvature)[1])
        return self._height(mode, precision) + 0.5 * (float(np.log(precision).sum()) - determinant)
