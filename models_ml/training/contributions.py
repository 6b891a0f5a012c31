"""Contribution of each feature to a customer's raw score; the contributions add up to the score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.special import logit
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from models_ml.training.pipeline import SMALLEST_SHARE, ChurnPipeline


class Explainer(Protocol):
    """Splits raw scores into a base and one contribution per feature."""

    @property
    def base(self) -> float:
        """Raw score without the contributions."""

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """Return contributions, shape (n, features); base + row sum = raw score."""


@dataclass(frozen=True)
class LinearExplainer:
    """Exact: coefficient × (value − fit mean), the columns of one feature summed.

    ``owner`` holds, per column of the prepared matrix, the position of the feature it was made from.
    """

    preparation: Pipeline
    coefficients: np.ndarray
    owner: np.ndarray
    features: int
    base: float

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """Return contributions in log-odds, shape (n, features)."""
        parts = self.preparation.transform(matrix) * self.coefficients  # fit means are zero after scaling
        summed = np.zeros((len(matrix), self.features))
        for column, feature in enumerate(self.owner):
            summed[:, feature] += parts[:, column]
        return summed


@dataclass(frozen=True)
class TreeExplainer:
    """TreeSHAP over the paths of the trees (Lundberg et al. 2020), from the shap library.

    ``approximate`` (Saabas) is for forests, whose many deep trees make the exact values too slow.
    """

    preparation: Pipeline | None
    trees: Any
    approximate: bool
    base: float

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """Return contributions in the unit of the raw score, shape (n, features)."""
        prepared = matrix if self.preparation is None else self.preparation.transform(matrix)
        values = np.asarray(
            self.trees.shap_values(prepared, approximate=self.approximate, check_additivity=False)
        )
        return values[..., 1] if values.ndim == 3 else values


def is_linear(pipeline: ChurnPipeline) -> bool:
    """Whether the pipeline's raw score is a sum over its columns, which is explained at once."""
    return isinstance(pipeline.estimator.steps[-1][1], LogisticRegression)


def make_explainer(pipeline: ChurnPipeline) -> Explainer:
    """Return the explainer that suits the pipeline's estimator."""
    *steps, (_, last) = pipeline.estimator.steps
    preparation = Pipeline(steps) if steps else None
    if is_linear(pipeline):
        return _linear(pipeline, preparation, last)
    from shap import TreeExplainer as ShapTrees  # slow to import, and only trees need it

    trees = ShapTrees(last, feature_perturbation="tree_path_dependent")
    is_forest = not hasattr(last, "decision_function")
    base = float(np.atleast_1d(trees.expected_value)[-1])
    return TreeExplainer(preparation, trees, is_forest, base)


def log_odds_contributions(pipeline: ChurnPipeline, matrix: np.ndarray) -> np.ndarray:
    """Return each feature's contribution to the uncalibrated log-odds, shape (n, features).

    A forest's contributions are shares of votes; each row's are stretched so that they add up to its log-odds.
    """
    explainer = make_explainer(pipeline)
    parts = explainer.contributions(matrix)
    if hasattr(pipeline.estimator, "decision_function"):
        return parts
    base, share = (
        np.clip(of, SMALLEST_SHARE, 1 - SMALLEST_SHARE)
        for of in (explainer.base, explainer.base + parts.sum(axis=1))
    )
    gap = share - base
    is_far = np.abs(gap) > SMALLEST_SHARE  # nearer, the slope at the base says the same
    stretch = np.where(
        is_far, (logit(share) - logit(base)) / np.where(is_far, gap, 1), 1 / (base * (1 - base))
    )
    return np.asarray(parts * stretch[:, None])


def _linear(
    pipeline: ChurnPipeline, preparation: Pipeline | None, last: LogisticRegression
) -> LinearExplainer:
    if preparation is None:
        raise TypeError("a linear candidate needs its preparation steps")
    return LinearExplainer(
        preparation,
        last.coef_[0],
        _owners(preparation.named_steps["columns"]),
        len(pipeline.encoder.schema.features),
        float(last.intercept_[0]),
    )


def _owners(columns: ColumnTransformer) -> np.ndarray:
    """Return the feature behind each prepared column: values, then missing indicators, then categories."""
    owners: list[int] = []
    for name, transformer, positions in columns.transformers_:
        if name == "numeric" and positions:
            indicators = transformer.named_steps["simpleimputer"].indicator_.features_
            owners += [*positions, *(positions[i] for i in indicators)]
        elif name == "categorical" and positions:
            for position, known in zip(positions, transformer.categories_, strict=True):
                owners += [position] * len(known)
    return np.array(owners, dtype=int)
