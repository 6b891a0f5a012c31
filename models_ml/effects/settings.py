"""Settings of the effect estimates, read from ``settings.toml`` beside this file."""

from __future__ import annotations

from pathlib import Path

from pydantic import PositiveFloat
from pydantic.dataclasses import dataclass

from models_ml.settings_file import STRICT, check_settings, read_toml

SETTINGS_FILE = Path(__file__).with_name("settings.toml")


@dataclass(frozen=True, config=STRICT)
class EffectSettings:
    """One field per line of ``settings.toml``; the file gives the reasons."""

    recalibration_sd: PositiveFloat
    measured_below_variance_share: PositiveFloat
    smallest_probability: PositiveFloat


def load_settings(path: Path = SETTINGS_FILE) -> EffectSettings:
    """Read the settings.

    Raises
    ------
    BayesPilotError
        If a setting is missing, unknown or not a positive number.
    """
    return check_settings(EffectSettings, read_toml(path), path)
