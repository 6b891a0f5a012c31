"""Choosing hyper-parameters on the fit dates alone: a few declared settings, validated on the last of them.

The log-loss of each setting is taken after a sigmoid on the validation rows, because a calibration curve is fitted
later anyway: settings are compared by how well they rank, not by their mean probability.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from models_ml.evaluation.metrics import row_log_loss
from models_ml.training.calibration import first_unless_better, fit_calibrator
from models_ml.training.candidates import Hyperparameters
from models_ml.training.examples import Examples, dates_before
from models_ml.training.pipeline import fit_estimator, uncalibrated_log_odds
from models_ml.training.schema import FeatureSchema
from models_ml.training.settings import TrainingSettings


@dataclass(frozen=True)
class SearchRows:
    """Rows on which settings are fitted, and rows at least a horizon later on which they are compared."""

    fit: Examples
    validate: Examples


@dataclass(frozen=True)
class SearchResult:
    """The chosen hyper-parameters, and one row per setting tried."""

    recipe: Hyperparameters
    trials: tuple[dict[str, Any], ...]


def search_dates(fit_on: Sequence[date], horizon_days: int) -> tuple[tuple[date, ...], date] | None:
    """Return the dates to fit settings on and the date to validate on; None where they are too few.

    Examples
    --------
    >>> search_dates([date(2025, month, 28) for month in (1, 2, 3)], 28)
    ((datetime.date(2025, 1, 28), datetime.date(2025, 2, 28)), datetime.date(2025, 3, 28))
    >>> search_dates([date(2025, 1, 28), date(2025, 2, 28)], 90) is None
    True
    """
    last = max(fit_on)
    earlier = dates_before(fit_on, last, horizon_days)
    return (earlier, last) if earlier else None


def settings_to_try(candidate: str, settings: TrainingSettings) -> list[Hyperparameters]:
    """Return the declared hyper-parameters, then a seeded draw from the declared space."""
    declared, space = settings.candidates[candidate], settings.spaces[candidate]
    points = [
        dict(zip(space.values, point, strict=True)) for point in itertools.product(*space.values.values())
    ]
    others = [dict(declared) | point for point in points if dict(declared) | point != declared]
    random = np.random.default_rng([settings.seed, *candidate.encode()])
    drawn = random.permutation(len(others))[: max(space.at_most - 1, 0)]
    return [declared, *(others[position] for position in drawn)]


def search(
    candidate: str, rows: SearchRows | None, schema: FeatureSchema, settings: TrainingSettings
) -> SearchResult:
    """Return the declared hyper-parameters, or others that are better by more than a standard error.

    Nothing is searched without rows, or where all fit rows or all validation rows are of one class.
    """
    tried = settings_to_try(candidate, settings)
    if rows is None or len(tried) == 1 or not _both_classes(rows):
        return SearchResult(settings.candidates[candidate], ())
    losses: dict[str, np.ndarray] = {}
    seconds = []
    for position, recipe in enumerate(tried):
        started = time.perf_counter()
        cheaper = dict(recipe) | dict(settings.spaces[candidate].while_searching)
        losses[str(position)] = _losses(candidate, rows, schema, settings, cheaper)
        seconds.append(round(time.perf_counter() - started, 3))
    chosen = int(first_unless_better(losses))
    weight = float(rows.validate.example_weight.sum())
    trials = tuple(
        {
            "parameters": dict(recipe),
            "score": float(losses[str(position)].sum()) / weight,
            "seconds": seconds[position],
            "is_chosen": position == chosen,
        }
        for position, recipe in enumerate(tried)
    )
    return SearchResult(tried[chosen], trials)


def _losses(
    candidate: str,
    rows: SearchRows,
    schema: FeatureSchema,
    settings: TrainingSettings,
    recipe: Mapping[str, float],
) -> np.ndarray:
    """Return the weighted log-loss of each validation row."""
    encoder, estimator = fit_estimator(candidate, rows.fit, schema, settings, recipe)
    churned, weight = rows.validate.has_churned, rows.validate.example_weight
    log_odds = uncalibrated_log_odds(encoder, estimator, rows.validate.features)
    curve = fit_calibrator("sigmoid", log_odds, churned, weight, floor=settings.calibration.probability_floor)
    return weight * row_log_loss(churned, curve.apply(log_odds))


def _both_classes(rows: SearchRows) -> bool:
    return all(0 < part.has_churned.sum() < len(part.has_churned) for part in (rows.fit, rows.validate))
