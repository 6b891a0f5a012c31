"""What a pipeline is made for."""

from __future__ import annotations

from dataclasses import dataclass

from models_ml.training.schema import FeatureSchema


@dataclass(frozen=True)
class Purpose:
    """What a pipeline is made for; one made for another purpose does not fit."""

    source: str
    churn_definition: str
    horizon_days: int
    activity_map_hash: str
    schema: FeatureSchema
