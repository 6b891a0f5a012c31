"""A pipeline unrolled into plain arrays, for one customer: the same numbers as in batches, without the preparation.

scikit-learn checks, converts and allocates on every call, which takes longer for one row than the arithmetic. Here each
step of a candidate is taken apart once; what it computes, and in which order it adds up, stays the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from models_ml.training.candidates import MISSING
from models_ml.training.contributions import TreeExplainer, make_explainer, make_tree_explainer
from models_ml.training.linear import LinearSum, as_linear_sum
from models_ml.training.pipeline import ChurnPipeline, raw_score, to_log_odds
from models_ml.training.schema import FeatureSchema

Floats = NDArray[np.float64]


class OneRow(Protocol):
    """Scores and explains one customer."""

    def raw_score(self, values: Floats) -> float:
        """Return the uncalibrated output of the encoded features (features,)."""

    def contributions(self, values: Floats) -> Floats:
        """Return each feature's contribution to the raw score, shape (features,)."""


@dataclass(frozen=True)
class OneRowPipeline:
    """A deployed pipeline, for one customer at a time.

    ``positions`` holds, per categorical feature, the code of each known category; ``ignored`` the features without a
    value when the pipeline was fitted.
    """

    pipeline: ChurnPipeline
    steps: OneRow
    positions: Mapping[str, Mapping[str, float]]
    ignored: frozenset[str]

    @property
    def schema(self) -> FeatureSchema:
        """The features that the pipeline reads."""
        return self.pipeline.encoder.schema

    def encode(self, features: Mapping[str, Any]) -> Floats:
        """Return the features of one customer as `FeatureEncoder.encode` does, shape (features,)."""
        names = self.schema.names
        encoded = np.empty(len(names))
        for at, name in enumerate(names):
            value = features[name]
            if name in self.ignored:
                encoded[at] = 0.0
            elif name in self.positions:
                encoded[at] = self.positions[name].get(value, np.nan)
            else:
                encoded[at] = np.nan if value is None else value
        return encoded

    def score(self, values: Floats) -> tuple[float, float]:
        """Return churn probability and raw score of one customer's encoded features."""
        raw = self.steps.raw_score(values)
        log_odds = to_log_odds(self.pipeline.estimator, np.array([raw]))
        return float(self.pipeline.calibrator.apply(log_odds)[0]), raw

    def contributions(self, values: Floats) -> Floats:
        """Return each feature's contribution to the raw score, shape (features,)."""
        return self.steps.contributions(values)


def unroll(pipeline: ChurnPipeline) -> OneRowPipeline:
    """Take a pipeline apart; one of an unknown kind is called with a batch of one row."""
    encoder = pipeline.encoder
    last = pipeline.estimator.steps[-1][1]
    makers: dict[type, Callable[[ChurnPipeline], OneRow]] = {
        LogisticRegression: _linear,
        RandomForestClassifier: _forest,
        HistGradientBoostingClassifier: _boosting,
    }
    return OneRowPipeline(
        pipeline,
        makers.get(type(last), _SingleBatch)(pipeline),
        {
            name: {category: float(code) for code, category in enumerate(known)}
            for name, known in encoder.categories.items()
        },
        encoder.unlearnable,
    )


class _SingleBatch:
    """Any pipeline, called with a batch of one row."""

    def __init__(self, pipeline: ChurnPipeline) -> None:
        self._estimator, self._explainer = pipeline.estimator, make_explainer(pipeline)

    def raw_score(self, values: Floats) -> float:
        return float(raw_score(self._estimator, values[None, :])[0])

    def contributions(self, values: Floats) -> Floats:
        return np.asarray(self._explainer.contributions(values[None, :]))[0]


@dataclass(frozen=True)
class _Linear:
    terms: LinearSum

    def raw_score(self, values: Floats) -> float:
        return float(self.terms.raw_score(values[None, :])[0])

    def contributions(self, values: Floats) -> Floats:
        return self.terms.contributions(values[None, :])[0]


def _linear(pipeline: ChurnPipeline) -> OneRow:
    terms = as_linear_sum(pipeline.estimator)
    return _SingleBatch(pipeline) if terms is None else _Linear(terms)


@dataclass(frozen=True)
class _Trees:
    """All trees of an ensemble side by side: arrays over nodes, with the first node of each tree in ``roots``.

    A leaf leads to itself. A missing value goes left where ``missing_left`` says so.
    """

    roots: NDArray[np.int64]
    depth: int
    feature: NDArray[np.int64]
    threshold: Floats
    missing_left: NDArray[np.bool_]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    leaf: Floats

    def values(self, values: NDArray[np.floating]) -> Floats:
        """Return the leaf value of each tree, shape (trees,)."""
        node = self.roots
        for _ in range(self.depth):
            seen = values[self.feature[node]]
            goes_left = (seen <= self.threshold[node]) | (np.isnan(seen) & self.missing_left[node])
            node = np.where(goes_left, self.left[node], self.right[node])
        return np.asarray(self.leaf[node])


@dataclass(frozen=True)
class _Boosting:
    trees: _Trees
    baseline: float
    explainer: TreeExplainer

    def raw_score(self, values: Floats) -> float:
        # cumsum adds one tree after the other, as the estimator does
        return float(np.cumsum(np.concatenate([[self.baseline], self.trees.values(values)]))[-1])

    def contributions(self, values: Floats) -> Floats:
        return np.asarray(self.explainer.contributions(values[None, :]))[0]


def _boosting(pipeline: ChurnPipeline) -> OneRow:
    last = pipeline.estimator.steps[-1][1]
    nodes = [tree.nodes for (tree,) in last._predictors]
    if any(tree["is_categorical"].any() for tree in nodes):
        return _SingleBatch(pipeline)
    trees = _side_by_side(
        [
            (
                tree["is_leaf"].astype(bool),
                tree["feature_idx"],
                tree["num_threshold"],
                tree["missing_go_to_left"],
                tree["left"],
                tree["right"],
                tree["value"],
            )
            for tree in nodes
        ]
    )
    return _Boosting(trees, float(last._baseline_prediction.ravel()[0]), make_tree_explainer(pipeline))


@dataclass(frozen=True)
class _Forest:
    trees: _Trees
    explainer: TreeExplainer

    def raw_score(self, values: Floats) -> float:
        filled = np.where(np.isnan(values), MISSING, values).astype(np.float32)  # as the trees read them
        votes = self.trees.values(filled)
        return float(np.cumsum(votes)[-1] / len(votes))

    def contributions(self, values: Floats) -> Floats:
        return np.asarray(self.explainer.contributions(values[None, :]))[0]


def _forest(pipeline: ChurnPipeline) -> OneRow:
    last = pipeline.estimator.steps[-1][1]
    trees = _side_by_side(
        [
            (
                tree.children_left < 0,
                tree.feature,
                tree.threshold,
                np.zeros(tree.node_count, dtype=bool),
                tree.children_left,
                tree.children_right,
                tree.value[:, 0, 1] / tree.value[:, 0, :].sum(axis=1),
            )
            for tree in (one.tree_ for one in last.estimators_)
        ]
    )
    return _Forest(trees, make_tree_explainer(pipeline))


def _side_by_side(trees: Sequence[tuple[Any, ...]]) -> _Trees:
    """Put trees (is_leaf, feature, threshold, missing_left, left, right, value) into arrays over all nodes."""
    starts = np.cumsum([0, *(len(tree[0]) for tree in trees)])
    parts = []
    for start, (is_leaf, feature, threshold, missing_left, left, right, value) in zip(
        starts[:-1], trees, strict=True
    ):
        itself = np.arange(len(is_leaf)) + start
        parts.append(
            (
                np.where(is_leaf, 0, feature).astype(np.int64),
                threshold,
                np.asarray(missing_left, dtype=bool),
                np.where(is_leaf, itself, np.asarray(left, dtype=np.int64) + start),
                np.where(is_leaf, itself, np.asarray(right, dtype=np.int64) + start),
                value,
            )
        )
    feature, threshold, missing_left, left, right, value = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    roots = starts[:-1].astype(np.int64)
    depth, reached = 0, roots
    while (left[reached] != reached).any():
        depth, reached = depth + 1, np.unique(np.concatenate([left[reached], right[reached]]))
    return _Trees(roots, depth, feature, threshold, missing_left, left, right, value)
