"""Contribution of each feature to a customer's raw score; the contributions add up to the score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.special import logit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline

from models_ml.training.linear import as_linear_sum
from models_ml.training.pipeline import SMALLEST_SHARE, ChurnPipeline

FEATURES_TABULATED = 12  # on a path: 4,096 patterns; a longer path is worked out for the patterns that occur


class Explainer(Protocol):
    """Splits raw scores into a base and one contribution per feature."""

    @property
    def base(self) -> float:
        """Raw score without the contributions."""

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """Return contributions, shape (n, features); base + row sum = raw score."""


@dataclass(frozen=True)
class TreeExplainer:
    """TreeSHAP over the paths of the trees (Lundberg et al. 2020), from the shap library; quick for single rows.

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


@dataclass(frozen=True)
class Leaf:
    """A leaf of a boosted tree.

    ``features`` are those that its path asks for, shape (d,), in the order of the path. ``reached`` are the shares of
    the fitted rows that took the path at all splits on each feature, in (0, 1). ``tabulated`` holds the contributions
    of every pattern, shape (d, 2^d), or nothing where d is above ``FEATURES_TABULATED``.
    """

    features: tuple[int, ...]
    reached: np.ndarray
    value: float
    tabulated: np.ndarray | None

    def add_contributions(self, pattern: np.ndarray, to: np.ndarray) -> None:
        """Add the contributions of rows with these patterns, shape (n,), to an array of shape (all features, n)."""
        table, place = self.tabulated, pattern
        if table is None:
            occurring, place = np.unique(pattern, return_inverse=True)
            table = pattern_contributions(self.reached, self.value, occurring)
        for feature, of_pattern in zip(self.features, table, strict=True):
            to[feature] += of_pattern[place]


@dataclass(frozen=True)
class Split:
    """A split of a boosted tree: at most ``threshold`` goes left, missing values where ``missing_left`` says so.

    ``bit`` is that of the feature in the patterns of the leaves below; ``is_first`` on the path to ask for it.
    """

    feature: int
    threshold: float
    missing_left: bool
    bit: int
    is_first: bool
    left: Split | Leaf
    right: Split | Leaf


def pattern_contributions(reached: np.ndarray, value: float, patterns: np.ndarray) -> np.ndarray:
    """Return the contribution of each feature of a leaf's path to the score, shape (d, patterns).

    With a set of features known, a row counts at the leaf with the product of 1 (it takes the path) or 0 over the
    known features and of the shares ``reached`` over the others (Lundberg et al. 2020, algorithm 1). The Shapley value
    of such a product is an integral over the share t of features that are known (Owen 1972),
    ``value * (z_i - p_i) * integral from 0 to 1 of prod over j != i of (t z_j + (1 - t) p_j)``,
    of a polynomial of degree d - 1, which Gauss-Legendre quadrature with d / 2 nodes integrates exactly.

    Parameters
    ----------
    reached : ndarray of shape (d,)
        p, in (0, 1].
    value : float
        Of the leaf.
    patterns : ndarray of int
        z: bit i is set where the row takes the path at every split on feature i.

    Examples
    --------
    One split that half of the rows pass: who passes has the other half of the leaf's value, who does not loses it.

    >>> pattern_contributions(np.array([0.5]), 4.0, np.array([0, 1]))
    array([[-2.,  2.]])
    """
    nodes, weights = np.polynomial.legendre.leggauss((max(len(reached), 1) + 1) // 2)
    known = (nodes[:, None, None] + 1) / 2
    takes = (patterns >> np.arange(len(reached))[:, None]) & 1
    factors = known * takes + (1 - known) * reached[:, None]
    of_others = np.einsum("q,qp,qdp->dp", weights / 2, factors.prod(axis=1), 1 / factors)
    return np.asarray(value * (takes - reached[:, None]) * of_others)


@dataclass(frozen=True)
class BoostingExplainer:
    """The values of TreeSHAP for gradient boosting, exact to the last digits of a double and quick for many rows.

    What a leaf contributes depends on a row only by the pattern of features that lead it there. So contributions are
    tabulated once for each leaf and pattern, and looked up for all rows at once, which takes about a twelfth of the
    time of walking each tree row by row (Wettenstein et al. 2025 do the same).
    """

    trees: tuple[Split | Leaf, ...]
    features: int
    base: float

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """Return contributions to the log-odds, shape (n, features)."""
        columns = np.ascontiguousarray(matrix.T)
        found = np.zeros((self.features, len(matrix)))
        for tree in self.trees:
            for leaf, pattern in _patterns(tree, columns, np.zeros(len(matrix), dtype=np.intp)):
                leaf.add_contributions(pattern, found)
        return found.T


def _patterns(
    at: Split | Leaf, columns: np.ndarray, pattern: np.ndarray
) -> Iterator[tuple[Leaf, np.ndarray]]:
    """Yield every leaf below with the pattern of each row."""
    if isinstance(at, Leaf):
        yield at, pattern
        return
    values = columns[at.feature]
    goes_left = ~(values > at.threshold) if at.missing_left else values <= at.threshold
    off = pattern & ~at.bit
    on = pattern | at.bit if at.is_first else pattern
    yield from _patterns(at.left, columns, np.where(goes_left, on, off))
    yield from _patterns(at.right, columns, np.where(goes_left, off, on))


def make_explainer(pipeline: ChurnPipeline) -> Explainer:
    """Return the explainer that suits the pipeline's estimator and many rows."""
    linear = as_linear_sum(pipeline.estimator)
    if linear is not None:
        return linear
    *steps, (_, last) = pipeline.estimator.steps
    if isinstance(last, HistGradientBoostingClassifier) and not steps and last.is_categorical_ is None:
        return _boosting(last)
    return make_tree_explainer(pipeline)


def make_tree_explainer(pipeline: ChurnPipeline) -> TreeExplainer:
    """Return the explainer that walks the trees: for forests, and for single rows of any trees."""
    from shap import TreeExplainer as ShapTrees  # slow to import: nights by boosting do without

    *steps, (_, last) = pipeline.estimator.steps
    trees = ShapTrees(last, feature_perturbation="tree_path_dependent")
    is_forest = not hasattr(last, "decision_function")
    base = float(np.atleast_1d(trees.expected_value)[-1])
    return TreeExplainer(Pipeline(steps) if steps else None, trees, is_forest, base)


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


def _boosting(last: HistGradientBoostingClassifier) -> BoostingExplainer:
    trees = tuple(_branch(tree.nodes, 0, {}) for (tree,) in last._predictors)
    base = float(last._baseline_prediction.ravel()[0]) + sum(map(_mean_value, trees))
    return BoostingExplainer(trees, last.n_features_in_, base)


def _branch(nodes: np.ndarray, at: int, reached: dict[int, float]) -> Split | Leaf:
    """Return the tree below a node; ``reached`` has the features of the path to it, in its order, and their shares."""
    node = nodes[at]
    if node["is_leaf"]:
        shares, value = np.array(list(reached.values())), float(node["value"])
        tabulated = None
        if len(shares) <= FEATURES_TABULATED:
            tabulated = pattern_contributions(shares, value, np.arange(2 ** len(shares)))
        return Leaf(tuple(reached), shares, value, tabulated)
    feature = int(node["feature_idx"])
    left, right = (
        _branch(
            nodes,
            child,
            reached | {feature: reached.get(feature, 1.0) * float(nodes[child]["count"] / node["count"])},
        )
        for child in (int(node["left"]), int(node["right"]))
    )
    return Split(
        feature,
        float(node["num_threshold"]),
        bool(node["missing_go_to_left"]),
        1 << (list(reached).index(feature) if feature in reached else len(reached)),
        feature not in reached,
        left,
        right,
    )


def _mean_value(at: Split | Leaf) -> float:
    """Return the mean value of the leaves below, over the fitted rows, times the share that comes here."""
    if isinstance(at, Leaf):
        return at.value * float(at.reached.prod())
    return _mean_value(at.left) + _mean_value(at.right)
