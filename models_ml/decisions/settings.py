"""Technical settings of the decisions, read from ``settings.toml`` beside this file."""

from __future__ import annotations

from pathlib import Path

from pydantic import PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from models_ml.settings_file import STRICT, PositiveShare, check_settings, read_toml

SETTINGS_FILE = Path(__file__).with_name("settings.toml")


@dataclass(frozen=True, config=STRICT)
class RetentionCurveSettings:
    """Section ``retention_curves``: how far hazards may differ from the mean before any follow-up."""

    level_sd: PositiveFloat
    slope_sd: PositiveFloat
    exposures_before_evidence: PositiveFloat
    seen_share: PositiveShare
    log_odds_step: PositiveFloat
    smallest_probability: PositiveFloat


@dataclass(frozen=True, config=STRICT)
class PlanValueSettings:
    """Section ``plan_value``: draws of an interval and of the optimism, their seed, and how far churn may be off."""

    draws: PositiveInt
    seed: PositiveInt
    churn_shift_sd: PositiveFloat
    optimism_draws: PositiveInt


@dataclass(frozen=True, config=STRICT)
class TrialSettings:
    """Section ``trial``: how assignments are spread, and when the learning budget is used in full."""

    smallest_share: PositiveFloat
    full_use_sd: PositiveFloat


@dataclass(frozen=True, config=STRICT)
class DecisionSettings:
    """One field per section of ``settings.toml``; the file gives the reasons."""

    retention_curves: RetentionCurveSettings
    plan_value: PlanValueSettings
    trial: TrialSettings


def load_settings(path: Path = SETTINGS_FILE) -> DecisionSettings:
    """Read the settings.

    Raises
    ------
    BayesPilotError
        If a setting is missing, unknown or not a positive number of its kind.
    """
    return check_settings(DecisionSettings, read_toml(path), path)
