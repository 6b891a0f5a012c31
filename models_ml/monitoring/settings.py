"""The settings of monitoring, read from ``settings.toml`` beside this file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from statistics import NormalDist
from typing import Annotated

import pyarrow as pa
from pydantic import Field, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from models_ml.settings_file import STRICT, PositiveShare, check_settings, read_toml

Ratio = Annotated[float, Field(gt=1)]

SETTINGS_FILE = Path(__file__).with_name("settings.toml")


@dataclass(frozen=True, config=STRICT)
class Comparison:
    """How the customers of a run are compared with the population at training."""

    share_floor: PositiveShare
    rows_at_most: PositiveInt


@dataclass(frozen=True, config=STRICT)
class MonitoringLimits:
    """Limits beyond which a report warns or a test fails; shares and probabilities 0 to 1, ratios above 1."""

    psi_warn: PositiveFloat
    psi_alert: PositiveFloat
    chance: PositiveShare
    new_category_share: PositiveShare
    new_category_customers: PositiveInt
    missing_odds_ratio: Ratio
    missing_share_rise: PositiveShare
    unit_factor: Ratio
    unit_rows: PositiveInt
    silent_days: PositiveInt
    silent_gaps: PositiveFloat
    feed_days: PositiveInt
    feed_volume_share: PositiveShare
    week_from: PositiveShare
    week_to: Ratio
    week_beyond_own: PositiveShare
    week_days: PositiveInt
    lost_rows: PositiveInt
    set_aside_share: PositiveShare
    set_aside_rise: PositiveShare
    earlier_rows_from: PositiveShare
    earlier_rows_to: Ratio
    population_from: PositiveShare
    population_to: Ratio
    compared_days: PositiveInt
    last_day_rows: PositiveInt
    commitment_rows: PositiveInt
    commitment_recent_days: PositiveInt
    commitment_tolerance: Ratio
    late_report_days: PositiveInt
    kept_feature_days: PositiveInt
    calibration_ratio: Ratio
    auc_fall: PositiveShare
    alerting_features: PositiveShare
    oldest_training_days: PositiveInt


@dataclass(frozen=True, config=STRICT)
class MonitoringSettings:
    """All settings."""

    comparison: Comparison
    limits: MonitoringLimits


LIMITS_SCHEMA = pa.schema(
    [
        *(
            (name, pa.int64() if kind == "PositiveInt" else pa.float64())
            for name, kind in MonitoringLimits.__annotations__.items()
        ),
        ("chance_deviation", pa.float64()),
        ("share_floor", pa.float64()),
    ]
)


def load_monitoring_settings(path: Path = SETTINGS_FILE) -> MonitoringSettings:
    """Read the settings.

    Raises
    ------
    BayesPilotError
        If a setting is missing, unknown, of another type or out of its range.
    """
    return check_settings(MonitoringSettings, read_toml(path), path)


def limits_table() -> pa.Table:
    """Return the limits of ``settings.toml`` as one row of `LIMITS_SCHEMA`.

    ``chance_deviation`` is the number of standard deviations that a normal variable exceeds in absolute value
    with probability ``chance``.
    """
    settings = load_monitoring_settings()
    row = asdict(settings.limits) | {
        "chance_deviation": -NormalDist().inv_cdf(settings.limits.chance / 2),
        "share_floor": settings.comparison.share_floor,
    }
    return pa.Table.from_pylist([row], schema=LIMITS_SCHEMA)
