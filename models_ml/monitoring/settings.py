"""The settings of monitoring, read from ``settings.toml`` beside this file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pyarrow as pa

from models_ml.errors import BayesPilotError

SETTINGS_FILE = Path(__file__).with_name("settings.toml")


@dataclass(frozen=True)
class Bins:
    """How values are grouped when a pipeline is trained, and how many customers are read to compare."""

    quantiles: int
    values_at_most: int
    categories_at_most: int
    slice_share: float
    share_floor: float
    rows_at_most: int


@dataclass(frozen=True)
class MonitoringLimits:
    """From where on a report warns or a test fails; shares and probabilities 0 to 1, ratios above 1."""

    psi_warn: float
    psi_alert: float
    chance: float
    new_category_share: float
    new_category_customers: int
    missing_odds_ratio: float
    missing_share_rise: float
    unit_factor: float
    unit_rows: int
    silent_days: int
    silent_gaps: float
    feed_days: int
    feed_volume_share: float
    calibration_ratio: float
    auc_fall: float
    alerting_features: float
    oldest_training_days: int


@dataclass(frozen=True)
class MonitoringSettings:
    """All settings."""

    bins: Bins
    limits: MonitoringLimits


def load_monitoring_settings(path: Path = SETTINGS_FILE) -> MonitoringSettings:
    """Read the settings.

    Raises
    ------
    BayesPilotError
        If a setting is missing or unknown, by name, or is not a positive number.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    _check_names("", content, MonitoringSettings, path)
    return MonitoringSettings(
        _section("bins", content, Bins, path), _section("limits", content, MonitoringLimits, path)
    )


def _section(name: str, content: Mapping[str, Any], kind: type, path: Path) -> Any:  # noqa: ANN401 - one of the classes above
    section = content[name]
    _check_names(f"[{name}]", section, kind, path)
    unfit = [
        f"{key} = {value}"
        for key, value in section.items()
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0
    ]
    _refuse("a monitoring setting is not a positive number", unfit, f"{path.name} [{name}]")
    return kind(**section)


def _check_names(section: str, content: Mapping[str, Any], kind: type, path: Path) -> None:
    different = sorted({field.name for field in fields(kind)} ^ content.keys())
    _refuse("monitoring settings are missing or unknown", different, f"{path.name} {section}".strip())


def _refuse(what: str, values: list[str], where: str) -> None:
    if values:
        raise BayesPilotError(
            what, where=where, values=values, next_step="correct models_ml/monitoring/settings.toml"
        )


LIMITS_SCHEMA = pa.schema(
    [
        (name, pa.int64() if kind == "int" else pa.float64())
        for name, kind in {
            **MonitoringLimits.__annotations__,
            "chance_deviation": "float",
            "share_floor": "float",
        }.items()
    ]
)


def limits_table() -> pa.Table:
    """Return the limits of ``settings.toml`` as one row of `LIMITS_SCHEMA`.

    ``chance_deviation`` is the number of standard deviations that a normal variable exceeds in absolute value
    with probability ``chance``.
    """
    settings = load_monitoring_settings()
    row = asdict(settings.limits) | {
        "chance_deviation": -NormalDist().inv_cdf(settings.limits.chance / 2),
        "share_floor": settings.bins.share_floor,
    }
    return pa.Table.from_pylist([row], schema=LIMITS_SCHEMA)
