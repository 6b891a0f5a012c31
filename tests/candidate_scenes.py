"""Scenes for the tests of candidates: judged dates, candidates that predict too much or too little, quick settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import training_data as data
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from models_ml.decisions.economics import needed_columns
from models_ml.decisions.limits import Limits
from models_ml.decisions.policy import DecisionInputs
from models_ml.training.candidates import Candidate, Hyperparameters, logistic_regression
from models_ml.training.context import read_inputs, read_purpose, warehouse_tables
from models_ml.training.examples import ExampleReader, Examples
from models_ml.training.judging import JudgedDate, open_judged_date
from models_ml.training.schema import FeatureEncoder, read_schema
from models_ml.training.settings import SearchSpace, TrainingSettings, load_settings
from models_ml.training.stage import TrainingResult, train

SCHEMA = read_schema(data.schema_table().to_pylist())
UNLIMITED = Limits(np.inf, np.array([np.inf, np.inf]), {"phone": np.inf, "email": np.inf}, ("phone", "email"))


def quick_settings(**spaces: SearchSpace) -> TrainingSettings:
    """Return the real settings with fewer trees and bootstraps; only what is named is searched."""
    chosen = load_settings()
    candidates = {name: dict(parameters) for name, parameters in chosen.candidates.items()}
    candidates["random_forest"]["trees"] = 20
    candidates["gradient_boosting"]["iterations"] = 20
    searched = {name: replace(space, at_most=1) for name, space in chosen.spaces.items()} | spaces
    judging = replace(chosen.judging, bootstraps=100)
    importance = replace(chosen.importance, shuffled_rows_at_most=200, shuffles=1, explained_rows_at_most=50)
    return replace(chosen, candidates=candidates, spaces=searched, judging=judging, importance=importance)


def train_on(
    examples: pa.Table, candidates: tuple[str, ...], settings: TrainingSettings, **tables: pa.Table
) -> TrainingResult:
    """Run the stage on these training examples."""
    connection = data.warehouse(training_examples=examples, **tables)
    names = warehouse_tables()
    inputs = read_inputs(connection, names, data.CURVES)
    schema = read_purpose(connection, names).schema
    reader = ExampleReader(connection, names.training_examples, schema, needed_columns(inputs))
    return train(reader, inputs, settings, candidates=candidates, notify=lambda message: None)


def decision_inputs() -> DecisionInputs:
    return read_inputs(data.warehouse(customers=5), warehouse_tables(), data.CURVES)


def judged_examples(customers: int, changes: Mapping[str, np.ndarray] | None = None) -> Examples:
    """Return rows of one date; every offer is allowed to everybody."""
    rows = data.example_rows(customers, data.MONTH_ENDS[-1]) | {"example_weight": np.ones(customers)}
    rows |= {"offers_allowed": np.full(customers, 3)} | dict(changes or {})
    return Examples(pa.table(rows), SCHEMA)


def judged_date(
    probabilities: Mapping[str, np.ndarray], examples: Examples, limits: Limits = UNLIMITED
) -> JudgedDate:
    return open_judged_date(probabilities, examples, decision_inputs(), limits, quick_settings())


class PredictsTooMuch(LogisticRegression):
    """Says more churn than there is; its ranking is the same."""

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        return super().decision_function(X) + 1.5


class PredictsTooLittle(LogisticRegression):
    """Says less churn than there is; its ranking is the same."""

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        return super().decision_function(X) - 1.5


def candidate_of(name: str, kind: type[LogisticRegression]) -> Candidate:
    """Return the logistic candidate with another estimator at its end, less simple than any."""

    def build(encoder: FeatureEncoder, chosen: Hyperparameters, seed: int) -> Pipeline:
        *steps, (_, last) = logistic_regression(encoder, chosen, seed).steps
        return Pipeline([*steps, ("estimator", kind(**last.get_params()))])

    return Candidate(name, 9, build)


def settings_with(names: tuple[str, ...], methods: tuple[str, ...]) -> TrainingSettings:
    """Return quick settings in which the named candidates have the logistic regression's section."""
    chosen = quick_settings()
    declared = chosen.candidates["logistic_regression"]
    return replace(
        chosen,
        candidates=dict(chosen.candidates) | dict.fromkeys(names, declared),
        spaces=dict(chosen.spaces) | {name: SearchSpace(1, {}, {}) for name in names},
        calibration=replace(chosen.calibration, methods=methods),
    )


def replaced(
    table: pa.Table, rows: np.ndarray, changes: dict[str, Callable[[np.ndarray], np.ndarray]]
) -> pa.Table:
    """Return the table with some columns changed in some rows."""
    for name, change in changes.items():
        column = table[name].to_numpy().copy()
        column[rows] = change(column[rows])
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(column))
    return table
