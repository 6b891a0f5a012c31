"""Learners of effects: from a trial to the expected effect of each offer on the outcome, given the features.

A candidate is one function in a registry. The T-learner fits the outcome in each arm with an estimator of the
training stage; the DR-learner regresses doubly robust scores on the features (Kennedy 2023, "Towards optimal
doubly robust estimation of heterogeneous causal effects"); the effect posterior stands in its own module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from scipy.special import expit
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import Pipeline

from models_ml.threads import one_thread
from models_ml.training.candidates import CANDIDATES
from models_ml.training.pipeline import raw_score, to_log_odds
from models_ml.training.schema import FeatureEncoder, fit_encoder
from models_ml.uplift.posterior import LINEAR, fit_posterior
from models_ml.uplift.settings import UpliftSettings
from models_ml.uplift.trial import Floats, Trial, stratified_folds

PENALTIES = tuple(10.0**power for power in range(0, 8))  # of a ridge regression, chosen by leave-one-out


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
