"""The settings of monitoring, read from ``settings.toml`` beside this file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from statistics import NormalDist

import pyarrow as pa
from pydantic import PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from models_ml.settings_file import STRICT, check_settings, read_toml

SETTINGS_FILE = Path(__file__).with_name("settings.toml")


@dataclass(frozen=True, config=STRICT)
class Comparison:
    """How the customers of a run are compared with the population at training."""

    share_floor: PositiveFloat
    rows_at_most: PositiveInt


@dataclass(frozen=True, config=STRICT)
class MonitoringLimits:
    """Limits beyond which a report warns or a test fails; shares and probabilities 0 to 1, ratios above 1."""

    psi_warn: PositiveFloat
    psi_alert: PositiveFloat
    chance: PositiveFloat
    new_category_share: PositiveFloat
    new_category_customers: PositiveInt
    missing_odds_ratio: PositiveFloat
    missing_share_rise: PositiveFloat
    unit_factor: PositiveFloat
    unit_rows: PositiveInt
    silent_days: PositiveInt
    silent_gaps: PositiveFloat
    feed_days: PositiveInt
    feed_volume_share: PositiveFloat
    week_from: PositiveFloat
    week_to: PositiveFloat
    week_beyond_own: PositiveFloat
    week_days: PositiveInt
    lost_rows: PositiveInt
    set_aside_share: PositiveFloat
    set_aside_rise: PositiveFloat
    earlier_rows_from: PositiveFloat
    earlier_rows_to: PositiveFloat
    population_from: PositiveFloat
    population_to: PositiveFloat
    compared_days: PositiveInt
    last_day_rows: PositiveInt
    commitment_rows: PositiveInt
    commitment_recent_days: PositiveInt
    commitment_tolerance: PositiveFloat
    late_report_days: PositiveInt
    kept_feature_days: PositiveInt
    calibration_ratio: PositiveFloat
    auc_fall: PositiveFloat
    alerting_features: PositiveFloat
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
        If a setting is missing, unknown, of another type or not positive.
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
