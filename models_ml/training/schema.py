"""The features that a pipeline reads, as declared in ``int_feature_schema``, and their encoding as a matrix."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models_ml.errors import BayesPilotError

ROLES = ("numeric", "categorical")


@dataclass(frozen=True)
class Feature:
    """One column of ``customer_features``.

    ``expected_effect`` is +1 where more of it raises churn, -1 where it lowers churn, 0 where unknown.
    """

    feature: str
    role: str
    data_type: str
    expected_effect: int


@dataclass(frozen=True)
class FeatureSchema:
    """Features in their stated order."""

    features: tuple[Feature, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Feature names, in order."""
        return tuple(feature.feature for feature in self.features)

    @cached_property
    def categorical(self) -> tuple[int, ...]:
        """Positions of the categorical features."""
        return tuple(i for i, feature in enumerate(self.features) if feature.role == "categorical")

    @cached_property
    def numeric(self) -> tuple[int, ...]:
        """Positions of the numeric features."""
        return tuple(i for i, feature in enumerate(self.features) if feature.role == "numeric")

    @property
    def expected_effects(self) -> tuple[int, ...]:
        """Expected direction per feature, in order."""
        return tuple(feature.expected_effect for feature in self.features)

    def fingerprint(self) -> str:
        """Return a hash of names, order, roles, types and expected directions."""
        return hashlib.sha256(json.dumps(self.to_rows()).encode()).hexdigest()

    def to_rows(self) -> list[dict[str, Any]]:
        """Return plain rows, as they stand in a deployment record."""
        return [asdict(feature) for feature in self.features]

    def differences(self, other: FeatureSchema) -> list[str]:
        """Name what ``other`` has differently, feature by feature."""
        mine = {feature.feature: feature for feature in self.features}
        theirs = {feature.feature: feature for feature in other.features}
        named = [f"{name} (gone)" for name in mine if name not in theirs]
        named += [f"{name} (new)" for name in theirs if name not in mine]
        named += [f"{name} (changed)" for name in mine if name in theirs and mine[name] != theirs[name]]
        return named or ([] if self == other else ["order of features"])


@dataclass(frozen=True)
class FeatureEncoder:
    """Turns batches of ``customer_features`` into a matrix of doubles.

    Missing numbers, missing categories and categories unseen when fitting are NaN; a known category is
    its position in ``categories``. One column per feature keeps monotone constraints and reasons one to one.
    Features without a single value when fitting (``unlearnable``) are 0 everywhere.
    """

    schema: FeatureSchema
    categories: Mapping[str, tuple[str, ...]]
    unlearnable: frozenset[str]

    def encode(self, batch: pa.RecordBatch | pa.Table) -> np.ndarray:
        """Return the matrix, shape (rows, features), C order.

        Raises
        ------
        BayesPilotError
            If a feature's column is missing, or is not of the kind its role asks for, or holds an infinite value.
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
        infinite = np.isinf(matrix)
        if infinite.any():
            raise infinite_values([self.schema.names[i] for i in np.flatnonzero(infinite.any(axis=0))])
        return matrix


def infinite_values(features: list[str], where: str = "customer_features") -> BayesPilotError:
    """Return the error that names features which hold infinite values."""
    return BayesPilotError(
        "a feature holds infinite values",
        where=where,
        values=features,
        next_step="guard the division in the model that makes it, then dbt build",
    )


def read_schema(rows: Iterable[Mapping[str, Any]]) -> FeatureSchema:
    """Build the schema from rows of ``int_feature_schema`` (or of a deployment record), in their order.

    Raises
    ------
    BayesPilotError
        If there is no feature, a name stands twice, or a role or direction is unknown.
    """
    features = tuple(
        Feature(row["feature"], row["role"], row["data_type"], int(row["expected_effect"])) for row in rows
    )
    names = [feature.feature for feature in features]
    _refuse("there is no feature to learn from", [] if features else ["0 rows"])
    _refuse("a feature is declared twice", sorted({name for name in names if names.count(name) > 1}))
    _refuse("unknown role of a feature", [f"{f.feature}: {f.role}" for f in features if f.role not in ROLES])
    _refuse(
        "expected_effect is not -1, 0 or 1",
        [f"{f.feature}: {f.expected_effect}" for f in features if f.expected_effect not in (-1, 0, 1)],
    )
    return FeatureSchema(features)


def fit_encoder(table: pa.Table, schema: FeatureSchema, categories_at_most: int) -> FeatureEncoder:
    """Learn the known categories: the most frequent ones, kept in alphabetical order.

    Examples
    --------
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


def _refuse(what: str, values: list[str]) -> None:
    if values:
        raise BayesPilotError(
            what,
            where="int_feature_schema",
            values=values,
            next_step="correct dbt_project/models/features/customer_features.yml, then dbt build",
        )
