"""Training on a large table of examples, compared with a plain fit of the same estimators in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from dbt_project_copy import Usage

from benchmarks.examples import HORIZON_DAYS, demo_inputs, schema_of, write_examples
from benchmarks.measures import clocked, in_fresh_process, quiet_connection
from models_ml.decisions.economics import needed_columns
from models_ml.training.candidates import CANDIDATES
from models_ml.training.examples import ExampleReader, judged_split
from models_ml.training.pipeline import fit_pipeline
from models_ml.training.schema import fit_encoder
from models_ml.training.settings import TrainingSettings, load_settings
from models_ml.training.stage import train

EXAMPLES = "select * from training_examples"


@dataclass(frozen=True)
class CandidateMeasures:
    """One candidate: encode, fit and calibrate; and the estimator's own fit."""

    candidate: str
    trained: Usage
    plain: Usage


@dataclass(frozen=True)
class TrainingMeasures:
    """Usage of training: of each candidate alone, and of the whole stage where all candidates are measured."""

    candidates: tuple[CandidateMeasures, ...]
    stage: Usage | None
    fit_rows: int


def measure_training(
    folder: Path,
    *,
    rows: int,
    features: int,
    row_cap: int,
    candidate: str | None,
    memory_limit: str,
    notify: Callable[[str], None],
) -> TrainingMeasures:
    """Write ``rows`` examples to fit on (and one more date each to calibrate and judge), then train.

    ``row_cap`` replaces ``fit_at_most`` of settings.toml; 0 fits on every row. Each measure is of a process of its
    own. The stage reads its rows once for all candidates; only its measure includes reading.
    """
    notify(f"writing {rows:,} examples with {features} features")
    warehouse = folder / "training.duckdb"
    in_fresh_process(write_examples, warehouse, rows, features, memory_limit)
    measured = []
    for name in [candidate] if candidate else CANDIDATES:
        notify(f"{name}: the estimator's own fit")
        plain = in_fresh_process(fit_plainly, warehouse, features, row_cap, name)
        notify(f"{name}: encode, fit, calibrate")
        trained, fit_rows = in_fresh_process(fit_as_the_stage_does, warehouse, features, row_cap, name)
        measured.append(CandidateMeasures(name, trained, plain))
    if candidate:
        return TrainingMeasures(tuple(measured), None, fit_rows)
    notify("the whole stage: read, search, three candidates, judging, refit")
    stage = in_fresh_process(run_stage, warehouse, features, row_cap)
    return TrainingMeasures(tuple(measured), stage, fit_rows)


def fit_as_the_stage_does(warehouse: Path, features: int, row_cap: int, candidate: str) -> tuple[Usage, int]:
    """Encode, fit and calibrate one candidate on rows already read."""
    settings = _settings(row_cap)
    with quiet_connection(warehouse) as connection:
        reader = _reader(connection, features)
        split = judged_split([count.as_of_date for count in reader.date_counts()], HORIZON_DAYS)
        fit = reader.read(split.fit_on, settings.rows.fit_at_most)
        calibrate = reader.read([split.calibrated_on], settings.rows.calibration_at_most)
    _, measure = clocked(lambda: fit_pipeline(candidate, fit, calibrate, reader.schema, settings))
    return measure, int(fit.table.num_rows)


def fit_plainly(warehouse: Path, features: int, row_cap: int, candidate: str) -> Usage:
    """Fit the same estimator on a matrix that is already in memory, with as many threads as it uses by default."""
    settings = _settings(row_cap)
    with quiet_connection(warehouse) as connection:
        reader = _reader(connection, features)
        split = judged_split([count.as_of_date for count in reader.date_counts()], HORIZON_DAYS)
        fit = reader.read(split.fit_on, settings.rows.fit_at_most)
    encoder = fit_encoder(fit.features, reader.schema, settings.encoding.categories_at_most)
    estimator = CANDIDATES[candidate].build(encoder, settings.candidates[candidate], settings.seed)
    matrix, churned = encoder.encode(fit.features), np.asarray(fit.has_churned)
    weight = {"estimator__sample_weight": fit.example_weight}
    return clocked(lambda: estimator.fit(matrix, churned, **weight))[1]


def run_stage(warehouse: Path, features: int, row_cap: int) -> Usage:
    """Run the whole training stage on all candidates."""
    with quiet_connection(warehouse) as connection:
        reader = _reader(connection, features)
        return clocked(
            lambda: train(
                reader,
                demo_inputs(),
                _settings(row_cap),
                candidates=list(CANDIDATES),
                notify=lambda _: None,
            )
        )[1]


def _reader(connection: Any, features: int) -> ExampleReader:  # noqa: ANN401 - a DuckDB connection
    return ExampleReader(connection, EXAMPLES, schema_of(features), needed_columns(demo_inputs()))


def _settings(row_cap: int) -> TrainingSettings:
    settings = load_settings()
    return replace(settings, rows=replace(settings.rows, fit_at_most=row_cap))
