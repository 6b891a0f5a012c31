"""The features a pipeline reads: names, order, roles and types, as declared in ``int_feature_schema``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

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


def _refuse(what: str, values: list[str]) -> None:
    if values:
        raise BayesPilotError(
            what,
            where="int_feature_schema",
            values=values,
            next_step="correct dbt_project/models/features/customer_features.yml, then dbt build",
        )
