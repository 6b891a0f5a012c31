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

CALIBRATION_METHODS = ("none", "sigmoid", "isotonic")
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
    """Which calibration curves compete, and how close to certainty a probability may come."""

    methods: tuple[str, ...]
    folds: int
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
    empc_clv: float
    empc_incentive_cost: float
    empc_contact_cost: float
    thresholds: tuple[float, ...]


@dataclass(frozen=True)
class Importance:
    """How many judged rows and shuffles say what the selected candidate leans on."""

    shuffled_rows_at_most: int
    shuffles: int
    explained_rows_at_most: int


@dataclass(frozen=True)
class Search:
    """Most rows a search fits and validates on (0 = no limit)."""

    fit_rows_at_most: int
    validation_rows_at_most: int


@dataclass(frozen=True)
class SearchSpace:
    """Values that may replace a candidate's declared ones, and how many settings are tried at most."""

    at_most: int
    values: Mapping[str, tuple[float, ...]]
    while_searching: Mapping[str, float]


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
    """All settings; ``candidates`` maps a candidate to its declared hyper-parameters, ``spaces`` to its search."""

    seed: int
    rows: Rows
    encoding: Encoding
    calibration: Calibration
    judging: Judging
    promotion: Promotion
    importance: Importance
    search: Search
    candidates: Mapping[str, Mapping[str, float]]
    spaces: Mapping[str, SearchSpace]

    def fingerprint(self) -> str:
        """Return a hash of every setting that makes a pipeline; promotion and importance only look at it."""
        made_by = {k: value for k, value in asdict(self).items() if k not in ("promotion", "importance")}
        return hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()


_SECTIONS: Mapping[str, type] = {
    "rows": Rows,
    "encoding": Encoding,
    "calibration": Calibration,
    "judging": Judging,
    "promotion": Promotion,
    "importance": Importance,
    "search": Search,
}


def load_settings(path: Path = SETTINGS_FILE) -> TrainingSettings:
    """Read the settings.

    Raises
    ------
    BayesPilotError
        If a setting is missing or unknown, by name.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    _check_names("", content, {field.name for field in fields(TrainingSettings)} - {"spaces"}, path)
    sections = {name: _section(name, content[name], path) for name in _SECTIONS}
    _check_methods(sections["calibration"].methods, path)
    declared = content["candidates"]
    return TrainingSettings(
        seed=content["seed"],
        candidates={name: {k: v for k, v in of.items() if k != "search"} for name, of in declared.items()},
        spaces={name: _space(name, of, path) for name, of in declared.items()},
        **sections,
    )


def _section(name: str, content: Mapping[str, Any], path: Path) -> Any:  # noqa: ANN401 - one of the classes above
    _check_names(f"[{name}]", content, {field.name for field in fields(_SECTIONS[name])}, path)
    return _SECTIONS[name](**{key: tuple(v) if isinstance(v, list) else v for key, v in content.items()})


def _space(candidate: str, declared: Mapping[str, Any], path: Path) -> SearchSpace:
    """Read a candidate's search; without one, its declared values are the only setting."""
    content = dict(declared.get("search", {}))
    at_most, cheaper = content.pop("at_most", 1), content.pop("while_searching", {})
    unknown = sorted((content.keys() | cheaper.keys()) - declared.keys())
    if unknown:
        raise BayesPilotError(
            "a search names values that the candidate does not declare",
            where=f"{path.name} [candidates.{candidate}.search]",
            values=unknown,
            next_step=f"declare them in [candidates.{candidate}], or remove them",
        )
    return SearchSpace(at_most, {name: tuple(values) for name, values in content.items()}, cheaper)


def _check_methods(methods: tuple[str, ...], path: Path) -> None:
    unknown = [method for method in methods if method not in CALIBRATION_METHODS]
    if unknown or not methods:
        raise BayesPilotError(
            "unknown calibration method",
            where=f"{path.name} [calibration]",
            values=unknown,
            next_step=f"choose among {', '.join(CALIBRATION_METHODS)}",
        )


def _check_names(section: str, content: Mapping[str, Any], expected: set[str], path: Path) -> None:
    different = sorted(expected ^ content.keys())
    if different:
        raise BayesPilotError(
            "training settings are missing or unknown",
            where=f"{path.name} {section}".strip(),
            values=different,
            next_step=f"correct {path.name}; expected: {', '.join(sorted(expected))}",
        )
