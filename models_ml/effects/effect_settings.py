"""Technical settings of the effect estimates, read from ``effect_settings.toml`` beside this file."""

from __future__ import annotations

from pathlib import Path

from pydantic import PositiveFloat
from pydantic.dataclasses import dataclass

from models_ml.settings_file import STRICT, check_settings, read_toml

SETTINGS_FILE = Path(__file__).with_name("effect_settings.toml")


@dataclass(frozen=True, config=STRICT)
class EffectSettings:
    """Section ``effects``."""

    calibration_slope_sd: PositiveFloat
    calibration_level_sd: PositiveFloat
    measured_below_variance_share: PositiveFloat
    smallest_probability: PositiveFloat
    reach_before_evidence: PositiveFloat


@dataclass(frozen=True, config=STRICT)
class AcceptanceSettings:
    """Section ``acceptance``."""

    shared_slope_sd: PositiveFloat
    own_slope_sd: PositiveFloat
    effect_slope_sd: PositiveFloat


@dataclass(frozen=True, config=STRICT)
class _Settings:
    """The whole file."""

    effects: EffectSettings
    acceptance: AcceptanceSettings


def load_settings(path: Path = SETTINGS_FILE) -> tuple[EffectSettings, AcceptanceSettings]:
    """Read the settings.

    Raises
    ------
    BayesPilotError
        If a setting is missing, unknown or not a positive number.
    """
    settings = check_settings(_Settings, read_toml(path), path)
    return settings.effects, settings.acceptance
