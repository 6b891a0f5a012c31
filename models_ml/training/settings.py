"""The settings of the training stage, read from ``settings.toml`` beside this file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from models_ml.errors import BayesPilotError
from models_ml.settings_file import STRICT, Share, check_settings, read_toml

Number = int | float
Positive = Annotated[int, Field(ge=1)]
Several = Annotated[int, Field(ge=2)]  # one alone has no spread
SETTINGS_FILE = Path(__file__).with_name("settings.toml")


@dataclass(frozen=True, config=STRICT)
class Rows:
    """Most rows read per role (0 = no limit), and from how many on fitting uses several threads."""

    fit_at_most: int
    calibration_at_most: int
    judged_at_most: int
    followed_at_most: int
    parallel_from: int


@dataclass(frozen=True, config=STRICT)
class Encoding:
    """How categories become numbers."""

    categories_at_most: int


@dataclass(frozen=True, config=STRICT)
class Calibration:
    """Calibration curves that are compared, and the distance of every probability from 0 and 1."""

    methods: Annotated[tuple[Literal["none", "sigmoid", "isotonic"], ...], Field(min_length=1)]
    folds: Several
    isotonic_from_churners: int
    probability_floor: float


@dataclass(frozen=True, config=STRICT)
class Judging:
    """How candidates are compared."""

    bootstraps: Several
    calibration_bins: Positive
    lift_share: Share
    score_bins: Positive
    empc_alpha: float
    empc_beta: float
    empc_clv: float
    empc_incentive_cost: float
    empc_contact_cost: float
    thresholds: tuple[float, ...]


@dataclass(frozen=True, config=STRICT)
class Importance:
    """Judged rows and shuffles from which the importance of features is measured."""

    shuffled_rows_at_most: int
    shuffles: int
    explained_rows_at_most: int


@dataclass(frozen=True, config=STRICT)
class Search:
    """Most rows a search fits and validates on (0 = no limit)."""

    fit_rows_at_most: int
    validation_rows_at_most: int


@dataclass(frozen=True, config=STRICT)
class SearchSpace:
    """Values that may replace a candidate's declared ones, and how many settings are tried at most."""

    at_most: int
    values: Mapping[str, tuple[Number, ...]]
    while_searching: Mapping[str, Number]


@dataclass(frozen=True, config=STRICT)
class UnexplainedContacts:
    """How customers left alone are weighted for contacts that no logged draw explains."""

    risk_groups: Positive
    smallest_probability: Share


@dataclass(frozen=True, config=STRICT)
class PopulationBins:
    """How values are grouped into the bins that are frozen with a pipeline to measure drift."""

    quantiles: Several
    values_at_most: int
    categories_at_most: int
    slice_share: Share


@dataclass(frozen=True, config=STRICT)
class Promotion:
    """When a training's winner replaces the champion; ratios are bounds, both ends allowed."""

    probability_better_at_least: Share
    calibration_ratio_from: float
    calibration_ratio_to: float
    contacts_ratio_from: float
    contacts_ratio_to: float
    segment_churners_at_least: int
    segment_calibration_from: float
    segment_calibration_to: float
    segment_worse_at_most: Share
    range_confidence: Share
    stale_after_days: int


@dataclass(frozen=True, config=STRICT)
class LeakageLimits:
    """From where on a feature is refused; shares and probabilities 0 to 1.

    Parameters
    ----------
    auc : float
        A feature is refused whose AUC is higher than chance explains where the true AUC is this.
    confidence : float
        Share of samples that chance explains.
    leavers_at_least : int
        Fewer leavers, or fewer stayers, say nothing about separation.
    category_leaver_share : float
        A category is looked at if it holds at least this share of all leavers.
    category_churn_rate : float
        It is refused if at least this share of its members left and it is absent at the run's date.
    """

    auc: Share
    confidence: Share
    leavers_at_least: int
    category_leaver_share: Share
    category_churn_rate: Share


@dataclass(frozen=True, config=STRICT)
class TrainingSettings:
    """All settings; ``candidates`` maps a candidate to its declared hyper-parameters, ``spaces`` to its search."""

    seed: int
    rows: Rows
    contacts: UnexplainedContacts
    encoding: Encoding
    calibration: Calibration
    judging: Judging
    promotion: Promotion
    importance: Importance
    search: Search
    population: PopulationBins
    leakage: LeakageLimits
    candidates: Mapping[str, Mapping[str, Number]]
    spaces: Mapping[str, SearchSpace]

    def fingerprint(self) -> str:
        """Return a hash of every setting that changes a pipeline."""
        without = ("promotion", "importance", "population", "leakage")  # these only look at a pipeline
        changes = {name: section for name, section in asdict(self).items() if name not in without}
        return hashlib.sha256(json.dumps(changes, sort_keys=True).encode()).hexdigest()


def load_settings(path: Path = SETTINGS_FILE) -> TrainingSettings:
    """Read the settings.

    Raises
    ------
    BayesPilotError
        If a setting is missing, unknown or of another type, or a search names a value that is not declared.
    """
    content = read_toml(path)
    declared = content.get("candidates", {})
    candidates = {name: {k: v for k, v in of.items() if k != "search"} for name, of in declared.items()}
    spaces = {name: _space(name, of, path) for name, of in declared.items()}
    return check_settings(TrainingSettings, content | {"candidates": candidates, "spaces": spaces}, path)


def _space(candidate: str, declared: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return a candidate's search; without one, its declared values are the only setting."""
    content = dict(declared.get("search", {}))
    at_most, cheaper = content.pop("at_most", 1), content.pop("while_searching", {})
    unknown = sorted((content.keys() | cheaper.keys()) - declared.keys())
    if unknown:
        raise BayesPilotError(
            "a search names values that the candidate does not declare",
            where=f"{path} [candidates.{candidate}.search]",
            values=unknown,
            next_step=f"declare them in [candidates.{candidate}], or remove them",
        )
    return {"at_most": at_most, "values": content, "while_searching": cheaper}
