"""Technical settings of the decisions, read from ``settings.toml``."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from models_ml.errors import BayesPilotError

SETTINGS_FILE = Path(__file__).with_name("settings.toml")


@dataclass(frozen=True)
class RetentionCurveSettings:
    """Section ``retention_curves``: how far hazards may differ from the mean before any follow-up."""

    level_sd: float
    slope_sd: float
    exposures_before_evidence: float
    log_odds_step: float
    smallest_probability: float


@dataclass(frozen=True)
class PlanValueSettings:
    """Section ``plan_value``: how many draws make an interval, and from which seed."""

    draws: int
    seed: int


@dataclass(frozen=True)
class TrialSettings:
    """Section ``trial``: how assignments are spread, and when the learning budget is used in full."""

    smallest_share: float
    full_use_sd: float


@dataclass(frozen=True)
class DecisionSettings:
    """What ``settings.toml`` says, one field per section; the file gives the reasons."""

    retention_curves: RetentionCurveSettings
    plan_value: PlanValueSettings
    trial: TrialSettings


def load_settings(path: Path = SETTINGS_FILE) -> DecisionSettings:
    """Read the settings.

    Raises
    ------
    BayesPilotError
        If a section or setting is missing or unknown, by name, or is not a positive number of its kind.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    sections: dict[str, Any] = {
        "retention_curves": RetentionCurveSettings,
        "plan_value": PlanValueSettings,
        "trial": TrialSettings,
    }
    wrong = sorted(sections.keys() ^ content.keys())
    for name, kind in sections.items():
        if name in content:
            types = {field.name: field.type for field in fields(kind)}
            wrong += [f"{name}.{key}" for key in sorted(types.keys() ^ content[name].keys())]
            wrong += [
                f"{name}.{key} = {value!r}"
                for key, value in content[name].items()
                if key in types and not _is_positive(value, whole=types[key] == "int")
            ]
    if wrong:
        raise BayesPilotError(
            "a setting is missing, unknown or not a positive number",
            where=path.name,
            values=wrong,
            next_step="correct models_ml/decisions/settings.toml",
        )
    return DecisionSettings(**{name: kind(**content[name]) for name, kind in sections.items()})


def _is_positive(value: object, *, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return 0 < value < math.inf and (isinstance(value, int) or not whole)
