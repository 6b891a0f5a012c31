"""The candidate estimators: a registry in which a new one is one function; and the threads that they may use.

Each builds an unfitted scikit-learn pipeline over the matrix of `FeatureEncoder` (one column per feature,
NaN where missing or unknown, categories as codes).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from threadpoolctl import ThreadpoolController

from models_ml.training.schema import FeatureEncoder

# Below every real value, so that a tree can separate missing values with one cut.
MISSING = -1e9

Hyperparameters = Mapping[str, float]


@dataclass(frozen=True)
class Candidate:
    """A named recipe; a lower ``complexity`` wins among equals."""

    name: str
    complexity: int
    build: Callable[[FeatureEncoder, Hyperparameters, int], Pipeline]


def signed_log(values: np.ndarray) -> np.ndarray:
    """Compress long tails, keeping sign and zero.

    Examples
    --------
    >>> signed_log(np.array([-9.0, 0.0, 9.0])).round(2)
    array([-2.3,  0. ,  2.3])
    """
    return np.copysign(np.log1p(np.abs(values)), values)


def logistic_regression(encoder: FeatureEncoder, chosen: Hyperparameters, seed: int) -> Pipeline:
    """Regularised logistic regression on compressed, standardised columns."""
    schema = encoder.schema
    named = [i for i in schema.categorical if encoder.categories[schema.names[i]]]  # some may never be filled
    codes = [np.arange(len(encoder.categories[schema.names[i]]), dtype=float) for i in named]
    numeric = make_pipeline(
        FunctionTransformer(signed_log),
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
    )
    columns = ColumnTransformer(
        [
            ("numeric", numeric, list(schema.numeric)),
            # Fixed categories: a code that is NaN (missing or unknown) becomes all zeros.
            (
                "categorical",
                OneHotEncoder(categories=codes, handle_unknown="ignore", sparse_output=False),
                named,
            ),
        ]
    )
    # Scaling every column, indicators too, puts the fit mean at zero: a contribution is coefficient × value.
    return Pipeline(
        [
            ("columns", columns),
            ("scale", StandardScaler()),
            (
                "estimator",
                LogisticRegression(
                    C=chosen["inverse_regularisation"],
                    max_iter=int(chosen["iterations_at_most"]),
                    random_state=seed,
                ),
            ),
        ]
    )


def random_forest(encoder: FeatureEncoder, chosen: Hyperparameters, seed: int) -> Pipeline:
    """Random forest, monotone where the schema expects a direction; it scores with one thread."""
    estimator = RandomForestClassifier(
        n_estimators=int(chosen["trees"]),
        max_depth=int(chosen["depth"]),
        min_samples_leaf=int(chosen["rows_per_leaf"]),
        monotonic_cst=list(encoder.schema.expected_effects),
        n_jobs=int(chosen["fit_threads"]),
        random_state=seed,
    )
    missing = SimpleImputer(strategy="constant", fill_value=MISSING, keep_empty_features=True)
    return Pipeline([("missing", missing), ("estimator", estimator)])


def gradient_boosting(encoder: FeatureEncoder, chosen: Hyperparameters, seed: int) -> Pipeline:
    """Histogram gradient boosting, monotone where the schema expects a direction."""
    estimator = HistGradientBoostingClassifier(
        max_iter=int(chosen["iterations"]),
        learning_rate=chosen["learning_rate"],
        max_leaf_nodes=int(chosen["leaves"]),
        min_samples_leaf=int(chosen["rows_per_leaf"]),
        l2_regularization=chosen["l2"],
        max_bins=int(chosen["bins"]),
        monotonic_cst=list(encoder.schema.expected_effects),
        early_stopping=False,
        random_state=seed,
    )
    return Pipeline([("estimator", estimator)])


CANDIDATES: Mapping[str, Candidate] = {
    candidate.name: candidate
    for candidate in (
        Candidate("logistic_regression", 1, logistic_regression),
        Candidate("random_forest", 2, random_forest),
        Candidate("gradient_boosting", 3, gradient_boosting),
    )
}


def one_thread() -> AbstractContextManager[object]:
    """Limit BLAS and OpenMP to one thread, as scoring and calibration do.

    Sums over several threads change their last bits, and on batches more threads mostly wait for each other.
    """
    return _threads().limit(limits=1)


def one_blas_thread() -> AbstractContextManager[object]:
    """Limit BLAS to one thread and leave OpenMP free, which histogram boosting uses without changing a bit."""
    return _threads().limit(limits=1, user_api="blas")


@functools.cache
def _threads() -> ThreadpoolController:
    """Return the control over BLAS and OpenMP threads; finding the libraries takes a while."""
    return ThreadpoolController()
