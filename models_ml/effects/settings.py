"""Settings of the effect estimates, read from ``settings.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from models_ml.errors import BayesPilotError

SETTINGS_FILE = Path(__file__).with_name("settings.toml")


@dataclass(frozen=True)
class EffectSettings:
    """What ``settings.toml`` says, one field per line; the file gives the reasons."""

    recalibration_sd: float
    measured_below_variance_share: float
    smallest_probability: float


def load_settings(path: Path = SETTINGS_FILE) -> EffectSettings:
    """Read the settings.

    Raises
    ------
    BayesPilotError
        If a setting is missing or unknown, by name, or not a positive number.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    names = {field.name for field in fields(EffectSettings)}
    wrong = sorted(names ^ content.keys()) or sorted(name for name in names if not content[name] > 0)
    if wrong:
        raise BayesPilotError(
            "a setting is missing, unknown or not positive",
            where=str(path.name),
            values=wrong,
            next_step="correct models_ml/effects/settings.toml",
        )
    return EffectSettings(**{name: float(value) for name, value in content.items()})
