"""The settings of the training stage, read from ``settings.toml`` beside this file."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from models_ml.errors import BayesPilotError

SETTINGS_FILE = Path(__file__).with_name("settings.toml")


@dataclass(frozen=True)
class Rows:
    """Most rows read per role (0 = no limit), and from how many on fitting uses several threads."""

    fit_at_most: int
    calibration_at_most: int
    judged_at_most: int
    parallel_from: int


@dataclass(frozen=True)
class Encoding:
    """How categories become numbers."""

    categories_at_most: int


@dataclass(frozen=True)
class Calibration:
    """Which calibration curve is used, and how close to certainty it may come."""

    isotonic_from_churners: int
    probability_floor: float


@dataclass(frozen=True)
class Judging:
    """How candidates are compared."""

    bootstraps: int
    calibration_bins: int
    lift_share: float
    score_bins: int
    empc_alpha: float
    empc_beta: float


@dataclass(frozen=True)
class Promotion:
    """When a training's winner replaces the champion; ratios are bounds, both ends allowed."""

    probability_better_at_least: float
    calibration_ratio_from: float
    calibration_ratio_to: float
    contacts_ratio_from: float
    contacts_ratio_to: float
    segment_churners_at_least: int
    segment_calibration_from: float
    segment_calibration_to: float
    segment_worse_at_most: float
    stale_after_days: int


@dataclass(frozen=True)
class TrainingSettings:
    """All settings; ``candidates`` maps a candidate's name to its hyper-parameters."""

    seed: int
    rows: Rows
    encoding: Encoding
    calibration: Calibration
    judging: Judging
    promotion: Promotion
    candidates: Mapping[str, Mapping[str, float]]

    def fingerprint(self) -> str:
        """Return a hash of every setting that makes a pipeline what it is; promotion only decides its use."""
        made_by = {name: value for name, value in asdict(self).items() if name != "promotion"}
        return hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()


_SECTIONS: Mapping[str, type] = {
    "rows": Rows,
    "encoding": Encoding,
    "calibration": Calibration,
    "judging": Judging,
    "promotion": Promotion,
}


def load_settings(path: Path = SETTINGS_FILE) -> TrainingSettings:
    """Read the settings.

    Raises
    ------
    BayesPilotError
        If a setting is missing or unknown, by name.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    _check_names("", content, {field.name for field in fields(TrainingSettings)}, path)
    return TrainingSettings(
        seed=content["seed"],
        candidates=content["candidates"],
        **{name: _section(name, content[name], path) for name in _SECTIONS},
    )


def _section(name: str, content: Mapping[str, Any], path: Path) -> Any:  # noqa: ANN401 - one of the classes above
    _check_names(f"[{name}]", content, {field.name for field in fields(_SECTIONS[name])}, path)
    return _SECTIONS[name](**content)


def _check_names(section: str, content: Mapping[str, Any], expected: set[str], path: Path) -> None:
    different = sorted(expected ^ content.keys())
    if different:
        raise BayesPilotError(
            "training settings are missing or unknown",
            where=f"{path.name} {section}".strip(),
            values=different,
            next_step=f"correct {path.name}; expected: {', '.join(sorted(expected))}",
        )
