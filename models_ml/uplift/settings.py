"""The settings of learning from a trial, read from ``settings.toml`` beside this file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from models_ml.errors import BayesPilotError
from models_ml.training.candidates import Hyperparameters
from models_ml.training.leakage import LeakageLimits

SETTINGS_FILE = Path(__file__).with_name("settings.toml")


@dataclass(frozen=True)
class FoldSettings:
    """How often rows are held out: for the value, for the selection, for outcome predictions."""

    outer: int
    learned_first: int
    inner: int
    nuisance: int


@dataclass(frozen=True)
class TrialSettings:
    """What a trial must hold, and when it contradicts what is said of it."""

    rows_per_arm_at_least: int
    responders_per_arm_at_least: int
    false_alarm: float
    differing_rows_at_least: int
    balance_rows_at_most: int


@dataclass(frozen=True)
class ColumnSettings:
    """Which columns of a file become categories."""

    whole_numbers_as_categories_at_most: int
    categories_at_most: int


@dataclass(frozen=True)
class PosteriorSettings:
    """Priors of the effect posterior, standard deviations of normal distributions around 0."""

    intercept_sd: float
    baseline_sd: float
    effect_sd: float
    interaction_sds: tuple[float, ...]
    nodes: int


@dataclass(frozen=True)
class QiniSettings:
    """Steps of the Qini curve, and bootstraps of its band."""

    bins: int
    bootstraps: int


@dataclass(frozen=True)
class PageSettings:
    """How much of each feature the page shows."""

    groups_at_most: int
    categories_at_most: int
    features_at_most: int


@dataclass(frozen=True)
class UpliftSettings:
    """All settings; ``learners`` maps an estimator of the registry to its hyper-parameters."""

    seed: int
    folds: FoldSettings
    trial: TrialSettings
    leakage: LeakageLimits
    columns: ColumnSettings
    posterior: PosteriorSettings
    qini: QiniSettings
    page: PageSettings
    learners: Mapping[str, Hyperparameters]


_SECTIONS: Mapping[str, type] = {
    "folds": FoldSettings,
    "trial": TrialSettings,
    "leakage": LeakageLimits,
    "columns": ColumnSettings,
    "posterior": PosteriorSettings,
    "qini": QiniSettings,
    "page": PageSettings,
}


def load_settings(path: Path = SETTINGS_FILE) -> UpliftSettings:
    """Read the settings.

    Raises
    ------
    BayesPilotError
        If a setting is missing or unknown, by name.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    _check_names("", content, {field.name for field in fields(UpliftSettings)}, path)
    sections = {name: _section(name, content[name], path) for name in _SECTIONS}
    return UpliftSettings(seed=content["seed"], learners=content["learners"], **sections)


def _section(name: str, content: Mapping[str, Any], path: Path) -> Any:  # noqa: ANN401 - one of the classes above
    _check_names(f"[{name}]", content, {field.name for field in fields(_SECTIONS[name])}, path)
    return _SECTIONS[name](**{key: tuple(v) if isinstance(v, list) else v for key, v in content.items()})


def _check_names(section: str, content: Mapping[str, Any], expected: set[str], path: Path) -> None:
    different = sorted(expected ^ content.keys())
    if different:
        raise BayesPilotError(
            "settings of learning from a trial are missing or unknown",
            where=f"{path.name} {section}".strip(),
            values=different,
            next_step=f"correct {path}; expected: {', '.join(sorted(expected))}",
        )
