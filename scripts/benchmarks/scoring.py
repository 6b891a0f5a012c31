"""Scoring from the warehouse batch by batch, against predict_proba alone on a frame in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import duckdb
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.dbt_runs import Workplace
from benchmarks.lesson import TABLES, prepare
from benchmarks.measuring import Measure, best, clocked, in_fresh_process, quiet_connection
from benchmarks.world import ENDS_ON, WorldSize, write_world
from models_ml.deployment.deployed import load_deployed
from models_ml.errors import BayesPilotError
from models_ml.paths import artifacts_folder
from models_ml.scoring.probabilities import BATCH_ROWS, features_query, probabilities_reader
from models_ml.training.context import read_purpose

FEATURES = "select * from customer_features"


@dataclass(frozen=True)
class ScoringMeasures:
    """What scoring took; ``one_call`` is predict_proba on all rows at once, where it was asked for."""

    batches: Measure
    streaming: Measure
    one_call: Measure | None


def measure_scoring(
    workplace: Workplace,
    *,
    rows: int,
    candidate: str,
    lesson: WorldSize,
    with_one_call: bool,
    repeats: int,
    say: Callable[[str], None],
) -> ScoringMeasures:
    """Fit a candidate on features (of an earlier run, if there was one), then score with it in several ways.

    Raises
    ------
    BayesPilotError
        If dbt fails, or not every customer gets a probability.
    """
    if not workplace.has("features", "int_feature_schema"):
        say("building features to learn from")
        write_world(workplace.raw, lesson)
        workplace.build("features", {"training_month_ends": lesson.dates - 1})
    say(f"fitting {candidate}, and multiplying the customers to {rows:,}")
    in_fresh_process(prepare, workplace, rows, candidate)
    streaming, batches, one_call = [], [], []
    for turn in range(1, repeats + 1):
        of = f" ({turn} of {repeats})" if repeats > 1 else ""
        say(f"streaming scores{of}")
        streaming.append(in_fresh_process(stream_scores, workplace, rows))
        say(f"predict_proba alone, in batches{of}")
        batches.append(in_fresh_process(predict_alone, workplace, BATCH_ROWS))
        if with_one_call:
            say(f"predict_proba alone, in one call{of}")
            one_call.append(in_fresh_process(predict_alone, workplace, rows))
    return ScoringMeasures(best(batches), best(streaming), best(one_call) if one_call else None)


def stream_scores(workplace: Workplace, rows: int) -> Measure:
    """Score as int_churn_predictions does: read, score and write batch by batch."""
    workplace.enter()
    with _warehouse(workplace) as connection:

        def work() -> None:
            reader = probabilities_reader(connection.cursor(), TABLES, FEATURES)
            connection.register("scores", reader)
            connection.execute("create or replace table int_churn_predictions as from scores")

        _, measure = clocked(work)
        scored = connection.execute("select count(churn_probability) from int_churn_predictions").fetchall()[
            0
        ][0]
    if scored != rows:
        raise BayesPilotError(
            f"{scored} of {rows} customers got a probability",
            where="int_churn_predictions",
            next_step="run again with --folder, and look into scoring.duckdb",
        )
    return measure


def predict_alone(workplace: Workplace, batch_rows: int) -> Measure:
    """Call predict_proba on a matrix that is already in memory; reading and encoding are not measured."""
    workplace.enter()
    with _warehouse(workplace) as connection:
        purpose = read_purpose(connection, TABLES)
        pipeline, _ = load_deployed(artifacts_folder(purpose.source), purpose)
        batches = connection.sql(features_query(FEATURES, purpose.schema, ENDS_ON)).to_arrow_reader(
            BATCH_ROWS
        )
        matrix = np.concatenate([pipeline.encoder.encode(batch) for batch in batches if batch.num_rows])
    with threadpool_limits(limits=1):  # as ChurnPipeline.score does
        _, measure = clocked(
            lambda: [
                pipeline.estimator.predict_proba(matrix[start : start + batch_rows])
                for start in range(0, len(matrix), batch_rows)
            ]
        )
    return measure


def _warehouse(workplace: Workplace) -> duckdb.DuckDBPyConnection:
    return quiet_connection(workplace.warehouse("scoring"), workplace.memory_limit)
