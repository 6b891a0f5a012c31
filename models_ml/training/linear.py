"""Logistic regression as a sum over features: what scikit-learn's steps compute, in one pass over the matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from models_ml.training.candidates import signed_log

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LinearSum:
    """Log-odds as a base and one term per feature, whose mean over the fitted rows is 0: coefficient × (value − mean).

    Attributes
    ----------
    slope, mean : ndarray of shape (features,)
        The term of a numeric feature is slope × signed logarithm of its value − mean.
    absent : ndarray of shape (features,)
        Its term where the value is missing.
    categories : mapping
        By position of a categorical feature: the term of each category, and last that of missing and unknown ones.
    base : float
        Log-odds without the terms.
    """

    slope: Floats
    mean: Floats
    absent: Floats
    categories: Mapping[int, Floats]
    base: float

    def contributions(self, matrix: Floats) -> Floats:
        """Return the term of each feature of encoded rows, shape (n, features)."""
        terms = signed_log(matrix)
        terms *= self.slope
        terms -= self.mean
        np.copyto(terms, self.absent, where=np.isnan(terms))
        for position, of_category in self.categories.items():
            code = matrix[:, position]
            terms[:, position] = of_category[np.where(np.isnan(code), -1, code).astype(np.intp)]
        return terms

    def raw_score(self, matrix: Floats) -> Floats:
        """Return the log-odds of encoded rows, shape (n,)."""
        return np.asarray(self.contributions(matrix).sum(axis=1) + self.base)


def as_linear_sum(estimator: Pipeline) -> LinearSum | None:
    """Return the sum that a pipeline of the candidate ``logistic_regression`` computes; nothing for another one."""
    last = estimator.steps[-1][1]
    if type(last) is not LogisticRegression or "columns" not in estimator.named_steps:
        return None  # another kind may predict otherwise
    columns, scaler = estimator.named_steps["columns"], estimator.named_steps["scale"]
    weights = last.coef_[0] / scaler.scale_
    means = weights * scaler.mean_
    slope, mean, absent = np.zeros((3, columns.n_features_in_))
    categories = {}
    for name, step, positions in columns.transformers_:
        if not len(positions):
            continue
        of_step = columns.output_indices_[name]
        weight, in_mean = weights[of_step], means[of_step]
        if name == "numeric":
            imputer, count = step.named_steps["simpleimputer"], len(positions)
            # features whose absence has a column of its own, behind those of the values
            flagged = np.asarray(positions)[imputer.indicator_.features_]
            slope[positions], mean[positions] = weight[:count], in_mean[:count]
            absent[positions] = weight[:count] * np.nan_to_num(imputer.statistics_)
            absent[flagged] += weight[count:]
            mean[flagged] += in_mean[count:]
            absent -= mean
        elif name == "categorical":
            ends = np.cumsum([len(known) for known in step.categories_])[:-1]
            for position, of_known, means_of in zip(
                positions, np.split(weight, ends), np.split(in_mean, ends), strict=True
            ):
                categories[position] = np.append(of_known, 0.0) - means_of.sum()
    return LinearSum(slope, mean, absent, categories, float(last.intercept_[0]))
