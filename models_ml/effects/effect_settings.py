"""Technical settings of the effect estimates, read from ``effect_settings.toml``."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from models_ml.errors import BayesPilotError

SETTINGS_FILE = Path(__file__).with_name("effect_settings.toml")


@dataclass(frozen=True)
class EffectSettings:
    """Section ``effects``."""

    calibration_slope_sd: float
    calibration_level_sd: float
    offer_correlation: float
    measured_below_variance_share: float
    smallest_probability: float
    reach_before_evidence: float


@dataclass(frozen=True)
class AcceptanceSettings:
    """Section ``acceptance``."""

    shared_slope_sd: float
    own_slope_sd: float


def load_settings(path: Path = SETTINGS_FILE) -> tuple[EffectSettings, AcceptanceSettings]:
    """Read the settings.

    Raises
    ------
    BayesPilotError
        If a setting is missing or unknown, by name, or is not a positive number; a correlation of 0 is allowed, 1 is
        not.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    sections: dict[str, Any] = {"effects": EffectSettings, "acceptance": AcceptanceSettings}
    wrong = sorted(sections.keys() ^ content.keys())
    for name, kind in sections.items():
        given = content.get(name, {})
        wrong += [f"{name}.{key}" for key in sorted({field.name for field in fields(kind)} ^ given.keys())]
        wrong += [f"{name}.{key} = {value!r}" for key, value in given.items() if not _is_allowed(key, value)]
    if wrong:
        raise BayesPilotError(
            "a setting is missing, unknown or out of range",
            where=path.name,
            values=wrong,
            next_step=f"correct models_ml/effects/{path.name}",
        )
    return EffectSettings(**content["effects"]), AcceptanceSettings(**content["acceptance"])


def _is_allowed(key: str, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if key == "offer_correlation":
        return 0 <= value < 1
    return 0 < value < math.inf
