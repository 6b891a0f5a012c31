"""From Arrow columns to the matrix that estimators read: one column per feature, in schema order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models_ml.errors import BayesPilotError
from models_ml.training.schema import FeatureSchema


@dataclass(frozen=True)
class FeatureEncoder:
    """Turns batches of ``customer_features`` into a matrix of doubles.

    Missing numbers, missing categories and categories unseen when fitting are NaN; a known category is
    its position in ``categories``. One column per feature keeps monotone constraints and reasons one to one.
    Features without a single value when fitting (``unlearnable``) are 0 everywhere: nothing is known of them.
    """

    schema: FeatureSchema
    categories: Mapping[str, tuple[str, ...]]
    unlearnable: frozenset[str]

    def encode(self, batch: pa.RecordBatch | pa.Table) -> np.ndarray:
        """Return the matrix, shape (rows, features), C order.

        Raises
        ------
        BayesPilotError
            If a feature's column is missing, or is not of the kind its role asks for.
        """
        _check_columns(batch, self.schema)
        matrix = np.empty((batch.num_rows, len(self.schema.features)))
        for position, feature in enumerate(self.schema.features):
            if feature.feature in self.unlearnable:
                matrix[:, position] = 0.0
                continue
            column = batch.column(feature.feature)
            if feature.role == "categorical":
                known = pa.array(self.categories[feature.feature], column.type)
                column = pc.index_in(column, value_set=known)
            matrix[:, position] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return matrix


def fit_encoder(table: pa.Table, schema: FeatureSchema, categories_at_most: int) -> FeatureEncoder:
    """Learn the known categories: the most frequent ones, kept in alphabetical order.

    Examples
    --------
    >>> from models_ml.training.schema import Feature
    >>> schema = FeatureSchema((Feature("plan", "categorical", "VARCHAR", 0),))
    >>> table = pa.table({"plan": ["pro", "basic", "pro", "basic", "rare", None]})
    >>> fit_encoder(table, schema, categories_at_most=2).encode(table).ravel()
    array([ 1.,  0.,  1.,  0., nan, nan])
    """
    _check_columns(table, schema)
    names = [schema.names[position] for position in schema.categorical]
    categories = {name: _frequent(table[name], categories_at_most) for name in names}
    empty = frozenset(name for name in schema.names if table[name].null_count == table.num_rows)
    return FeatureEncoder(schema, categories, empty)


def _frequent(column: pa.ChunkedArray, at_most: int) -> tuple[str, ...]:
    counts = [(-row["counts"].as_py(), row["values"].as_py()) for row in pc.value_counts(column.drop_null())]
    return tuple(sorted(value for _, value in sorted(counts)[:at_most]))


def _check_columns(batch: pa.RecordBatch | pa.Table, schema: FeatureSchema) -> None:
    types = dict(zip(batch.schema.names, batch.schema.types, strict=True))
    missing = [name for name in schema.names if name not in types]
    if missing:
        raise BayesPilotError(
            "a feature of the pipeline has no column",
            where="customer_features",
            values=missing,
            next_step="dbt build --full-refresh -s customer_features+",
        )
    wrong = [
        f"{feature.feature}: {types[feature.feature]} is not {feature.role}"
        for feature in schema.features
        if _is_text(types[feature.feature]) != (feature.role == "categorical")
    ]
    if wrong:
        raise BayesPilotError(
            "a feature is not of the kind its role asks for",
            where="customer_features",
            values=wrong,
            next_step="correct its role in customer_features.yml, or its cast in customer_features.sql",
        )


def _is_text(data_type: pa.DataType) -> bool:
    return pa.types.is_string(data_type) or pa.types.is_large_string(data_type)
