"""The settings of learning from a trial, read from ``settings.toml`` beside this file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic.dataclasses import dataclass

from models_ml.settings_file import STRICT, check_settings, read_toml
from models_ml.training.leakage import LeakageLimits

SETTINGS_FILE = Path(__file__).with_name("settings.toml")


@dataclass(frozen=True, config=STRICT)
class FoldSettings:
    """How often rows are held out: for the value, for the selection, for outcome predictions."""

    outer: int
    learned_first: int
    inner: int
    nuisance: int


@dataclass(frozen=True, config=STRICT)
class TrialSettings:
    """What a trial must hold, and when it contradicts what is said of it."""

    rows_per_arm_at_least: int
    responders_per_arm_at_least: int
    false_alarm: float
    differing_rows_at_least: int
    balance_rows_at_most: int


@dataclass(frozen=True, config=STRICT)
class ColumnSettings:
    """Which columns of a file become categories."""

    whole_numbers_as_categories_at_most: int
    categories_at_most: int


@dataclass(frozen=True, config=STRICT)
class PosteriorSettings:
    """Priors of the effect posterior, standard deviations of normal distributions around 0."""

    intercept_sd: float
    baseline_sd: float
    effect_sd: float
    interaction_sds: tuple[float, ...]
    nodes: int


@dataclass(frozen=True, config=STRICT)
class QiniSettings:
    """Steps of the Qini curve, and bootstraps of its band."""

    bins: int
    bootstraps: int


@dataclass(frozen=True, config=STRICT)
class PageSettings:
    """How much of each feature the page shows."""

    groups_at_most: int
    categories_at_most: int
    features_at_most: int


@dataclass(frozen=True, config=STRICT)
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
    learners: Mapping[str, Mapping[str, int | float]]


def load_settings(path: Path = SETTINGS_FILE) -> UpliftSettings:
    """Read the settings.

    Raises
    ------
    BayesPilotError
        If a setting is missing, unknown or of another type.
    """
    return check_settings(UpliftSettings, read_toml(path), path)
