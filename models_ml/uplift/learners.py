"""Learners of effects: from a trial to the expected effect of each offer on the outcome, given the features.

A candidate is one function in a registry. The T-learner fits the outcome in each arm with an estimator of the
training stage; the DR-learner regresses doubly robust scores on the features (Kennedy 2023, "Towards optimal
doubly robust estimation of heterogeneous causal effects"); the effect posterior says how each offer moves the
outcome, and how that varies with the features:

    g(E[y | x, arm a]) = α + β·z + 1{a > 0} · (δ_a + θ_a·z)

z: the d features as the logistic candidate reads them, standardised, categories as indicators; g: log-odds
for a binary outcome, else the outcome in standard deviations. Independent normal priors around 0, that of θ with
the standard deviation under which the trial is most probable (type II maximum likelihood; MacKay 1992,
"Bayesian interpolation"): without heterogeneity θ shrinks to 0, and everybody is predicted the same effect on
the scale of g. Laplace posterior; expectations over it by Gauss-Hermite quadrature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import Pipeline

from models_ml.errors import BayesPilotError
from models_ml.training.candidates import CANDIDATES, one_thread
from models_ml.training.pipeline import raw_score, to_log_odds
from models_ml.training.schema import FeatureEncoder, fit_encoder
from models_ml.uplift.settings import UpliftSettings
from models_ml.uplift.trial import CONTROL, Floats, Trial, stratified_folds

PENALTIES = tuple(10.0**power for power in range(0, 8))  # of a ridge regression, chosen by leave-one-out

LINEAR = "logistic_regression"
_STEPS, _HALVINGS = 100, 40
_TOLERANCE = 1e-8
_SMALLEST = 1e-12


class EffectModel(Protocol):
    """What predicts effects of offers."""

    def effects(self, features: pa.Table) -> Floats:
        """Return the expected effect of each offer on the outcome, (n, k)."""


@dataclass(frozen=True)
class LearnerInputs:
    """A trial to learn from, with the outcome predictions that several learners share, made on first use."""

    trial: Trial
    settings: UpliftSettings

    @cached_property
    def linear_responses(self) -> Responses:
        """Logistic regressions of the outcome in each arm."""
        return fit_responses(LINEAR, self.trial, self.settings)

    @cached_property
    def crossfitted_outcomes(self) -> Floats:
        """Expected outcome in each arm, (n, k + 1), each row predicted by what has not seen it."""
        trial, folds = self.trial, self.settings.folds.nuisance
        fold = stratified_folds(trial.strata, folds, self.settings.seed)
        found = np.empty((len(trial), len(trial.arms)))
        for held in range(folds):
            fitted = fit_responses(LINEAR, trial.part(np.flatnonzero(fold != held)), self.settings)
            rows = np.flatnonzero(fold == held)
            found[rows] = fitted.outcomes(trial.features.take(pa.array(rows)))
        return found


@dataclass(frozen=True)
class Learner:
    """A named way to learn effects; a lower ``complexity`` wins among equals."""

    name: str
    title: str
    complexity: int
    fit: Callable[[LearnerInputs], EffectModel]


class _Constant:
    """Predicts the same for everybody: an arm in which every outcome is the same leaves nothing to fit."""

    def __init__(self, level: float) -> None:
        self.level = level

    def predict(self, features: pa.Table) -> Floats:
        """Return the level for each row, (n,)."""
        return np.full(features.num_rows, self.level)


@dataclass(frozen=True)
class _Fitted:
    """Encoder and fitted pipeline; predicts probabilities of a classifier, numbers of a regression."""

    encoder: FeatureEncoder
    pipeline: Pipeline

    def predict(self, features: pa.Table) -> Floats:
        """Return the expected outcome of each row, (n,)."""
        matrix = self.encoder.encode(features)
        with one_thread():
            if hasattr(self.pipeline, "predict_proba"):
                return np.asarray(expit(to_log_odds(self.pipeline, raw_score(self.pipeline, matrix))))
            return np.asarray(self.pipeline.predict(matrix), dtype=np.float64)


@dataclass(frozen=True)
class Responses:
    """One predictor per arm, the control first; T-learner and outcome predictions of doubly robust scores."""

    arms: tuple[_Constant | _Fitted, ...]

    def outcomes(self, features: pa.Table) -> Floats:
        """Return the expected outcome in each arm, (n, k + 1)."""
        return np.column_stack([arm.predict(features) for arm in self.arms])

    def effects(self, features: pa.Table) -> Floats:
        """Return the expected effect of each offer on the outcome, (n, k)."""
        found = self.outcomes(features)
        return found[:, 1:] - found[:, :1]


@dataclass(frozen=True)
class _Regressions:
    """One regression of effects per offer."""

    offers: tuple[_Constant | _Fitted, ...]

    def effects(self, features: pa.Table) -> Floats:
        """Return the expected effect of each offer on the outcome, (n, k)."""
        return np.column_stack([offer.predict(features) for offer in self.offers])


def _ridge(_: LogisticRegression) -> RidgeCV:
    return RidgeCV(PENALTIES)


def _forest(of: RandomForestClassifier) -> RandomForestRegressor:
    return RandomForestRegressor(
        **_shared(of, "n_estimators", "max_depth", "min_samples_leaf", "n_jobs", "random_state")
    )


def _boosting(of: HistGradientBoostingClassifier) -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(
        **_shared(of, "max_iter", "learning_rate", "max_leaf_nodes", "min_samples_leaf", "l2_regularization"),
        **_shared(of, "max_bins", "early_stopping", "random_state"),
    )


def _shared(estimator: Any, *names: str) -> dict[str, Any]:  # noqa: ANN401 - a scikit-learn estimator
    found = estimator.get_params()
    return {name: found[name] for name in names}


# What predicts numbers in place of a classifier, with the same hyper-parameters. Expected directions are those
# of the outcome and say nothing about effects, so they are left out.
REGRESSIONS: Mapping[type, Callable[[Any], Any]] = {
    LogisticRegression: _ridge,
    RandomForestClassifier: _forest,
    HistGradientBoostingClassifier: _boosting,
}


def fit_responses(estimator: str, trial: Trial, settings: UpliftSettings) -> Responses:
    """Fit the outcome in each arm with an estimator of the registry."""
    kind = _fit_classifier if trial.is_binary else _fit_regression
    rows = [np.flatnonzero(trial.arm == at) for at in range(len(trial.arms))]
    return Responses(tuple(kind(estimator, trial.part(arm), trial.outcome[arm], settings) for arm in rows))


def _fit_classifier(
    estimator: str, trial: Trial, outcome: Floats, settings: UpliftSettings
) -> _Constant | _Fitted:
    if len(outcome) == 0 or outcome.min() == outcome.max():
        return _Constant(float(outcome.mean()) if len(outcome) else 0.0)
    encoder, pipeline = _unfitted(estimator, trial, settings)
    return _finished(encoder, pipeline, trial.features, outcome == 1.0)


def _fit_regression(
    estimator: str, trial: Trial, target: Floats, settings: UpliftSettings
) -> _Constant | _Fitted:
    if len(target) == 0 or target.min() == target.max():
        return _Constant(float(target.mean()) if len(target) else 0.0)
    encoder, pipeline = _unfitted(estimator, trial, settings)
    last = pipeline.named_steps["estimator"]
    pipeline = Pipeline([*pipeline.steps[:-1], ("estimator", REGRESSIONS[type(last)](last))])
    return _finished(encoder, pipeline, trial.features, target)


def _unfitted(estimator: str, trial: Trial, settings: UpliftSettings) -> tuple[FeatureEncoder, Pipeline]:
    encoder = fit_encoder(trial.features, trial.schema, settings.columns.categories_at_most)
    return encoder, CANDIDATES[estimator].build(encoder, settings.learners[estimator], settings.seed)


def _finished(encoder: FeatureEncoder, pipeline: Pipeline, features: pa.Table, target: np.ndarray) -> _Fitted:
    with one_thread():
        pipeline.fit(encoder.encode(features), target)
    last = pipeline.named_steps["estimator"]
    if hasattr(last, "n_jobs"):
        last.set_params(n_jobs=1)  # several threads would add the trees' votes in another order each time
    return _Fitted(encoder, pipeline)


def _posterior(inputs: LearnerInputs) -> EffectModel:
    return fit_posterior(inputs.trial, inputs.settings)


def _t_learner(estimator: str, inputs: LearnerInputs) -> EffectModel:
    if estimator == LINEAR:
        return inputs.linear_responses
    return fit_responses(estimator, inputs.trial, inputs.settings)


def _dr_learner(estimator: str, inputs: LearnerInputs) -> EffectModel:
    """Regress the doubly robust score of each offer against the control on the features."""
    trial = inputs.trial
    scores = trial.scores(inputs.crossfitted_outcomes)
    return _Regressions(
        tuple(
            _fit_regression(estimator, trial, scores[:, at] - scores[:, 0], inputs.settings)
            for at in range(1, len(trial.arms))
        )
    )


def _registry() -> dict[str, Learner]:
    found = [Learner("effect_posterior", "effect posterior", 2, _posterior)]
    for name, candidate in CANDIDATES.items():
        title = f"T-learner, {name.replace('_', ' ')}"
        order = 1 + 2 * candidate.complexity
        found.append(Learner(f"t_{name}", title, order, partial(_t_learner, name)))
    for name, words in ((LINEAR, "linear regression"), ("gradient_boosting", "gradient boosting")):
        order = 2 + 2 * CANDIDATES[name].complexity
        found.append(Learner(f"dr_{name}", f"DR-learner, {words}", order, partial(_dr_learner, name)))
    return {learner.name: learner for learner in sorted(found, key=lambda one: one.complexity)}


LEARNERS: Mapping[str, Learner] = _registry()


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
