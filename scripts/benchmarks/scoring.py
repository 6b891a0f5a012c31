"""Scoring from the warehouse batch by batch, against predict_proba alone on a frame in memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from benchmarks.dbt_runs import Workplace
from benchmarks.measuring import Measure, best, clocked, in_fresh_process
from benchmarks.world import ENDS_ON, WorldSize, write_world
from models_ml.deployment import (
    FORMAT,
    DeploymentRecord,
    Purpose,
    library_versions,
    load_deployed,
    serialise,
    write_deployment,
)
from models_ml.errors import BayesPilotError
from models_ml.paths import artifacts_folder
from models_ml.scoring.probabilities import BATCH_ROWS, features_query, probabilities_reader
from models_ml.training.context import PurposeTables, read_purpose
from models_ml.training.examples import Examples
from models_ml.training.pipeline import ChurnPipeline, fit_pipeline
from models_ml.training.settings import load_settings

TABLES = PurposeTables(**{name: f"select * from {name}" for name in PurposeTables.__dataclass_fields__})
FEATURES = "select * from customer_features"
# What the candidates learn from: enough rows to grow trees and coefficients of the usual size.
LESSON = WorldSize(customers=20_000, events=1_000_000, dates=4)
LESSON_ROWS = 40_000
# Who leaves: a made-up rule, so that there is something to learn.
LOG_ODDS = """
    -3.2 + 0.8 * late_payments_last_90_days + 0.5 * price_increases_last_90_days + tickets_opened_last_30_days
    + leaving_signal_events_last_30_days + 0.02 * coalesce(days_since_last_engagement, 100)
    - 0.001 * tenure_days"""


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
    """Fit a candidate on features (those of an earlier run, if there are any), then score with it in several ways.

    Raises
    ------
    BayesPilotError
        If dbt fails, or not every customer gets a probability.
    """
    if not workplace.warehouse("features").exists():
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


def prepare(workplace: Workplace, rows: int, candidate: str) -> None:
    """Write a warehouse with ``rows`` customers at one date, and deploy a fitted candidate beside it."""
    _enter(workplace)
    with duckdb.connect(str(workplace.warehouse("scoring"))) as connection:
        connection.execute(f"attach '{workplace.warehouse('features')}' as built (read_only)")
        for table in PurposeTables.__dataclass_fields__:
            connection.execute(f"create or replace table {table} as from built.main.{table}")
        connection.execute(
            f"""
            create or replace table customer_features as
            select
                lower(hex(hash(customer_id || '/' || as_of_date || '/' || copy))) as customer_id,
                date '{ENDS_ON}' as as_of_date,
                built_features.* exclude (customer_id, as_of_date, copy)
            from (
                select *, row_number() over (partition by customer_id, as_of_date) as copy
                from built.main.customer_features
                cross join range((select 1 + {rows} // count(*) from built.main.customer_features))
            ) as built_features
            order by customer_id
            limit {rows}
            """
        )
        purpose = read_purpose(connection, TABLES)
        _deploy(fitted(connection, purpose, candidate), purpose)


def fitted(connection: Any, purpose: Purpose, candidate: str) -> ChurnPipeline:  # noqa: ANN401 - DuckDB
    """Fit on half of the built customers and calibrate on the other half."""
    table = connection.sql(
        f"""
        select
            *,
            cast(1 as double) as example_weight,
            hash(hash(customer_id, as_of_date)) % 10000 / 10000.0 < 1 / (1 + exp(-({LOG_ODDS})))
                as has_churned
        from built.main.customer_features
        order by hash(customer_id || as_of_date), customer_id
        limit {LESSON_ROWS}
        """
    ).to_arrow_table()
    half = table.num_rows // 2
    fit, calibrate = (
        Examples(part, purpose.schema, ()) for part in (table.slice(0, half), table.slice(half))
    )
    return fit_pipeline(candidate, fit, calibrate, purpose.schema, load_settings())


def _deploy(pipeline: ChurnPipeline, purpose: Purpose) -> None:
    content = serialise(pipeline)
    record = DeploymentRecord(
        format=FORMAT,
        pipeline_version=f"{pipeline.candidate}-benchmark",
        candidate=pipeline.candidate,
        selection_reason="benchmark",
        source=purpose.source,
        churn_definition=purpose.churn_definition,
        horizon_days=purpose.horizon_days,
        activity_map_hash=purpose.activity_map_hash,
        features=purpose.schema.to_rows(),
        libraries=library_versions(),
        sha256=hashlib.sha256(content).hexdigest(),
        calibration_method=pipeline.calibrator.method,
        judged={},
        refitted={},
        score_bin_edges=[],
        settings_fingerprint=load_settings().fingerprint(),
        trained_at="",
        mlflow_run_id="",
    )
    write_deployment(artifacts_folder(purpose.source), content, record)


def stream_scores(workplace: Workplace, rows: int) -> Measure:
    """Score as int_churn_predictions does: read, score and write batch by batch."""
    _enter(workplace)
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
    _enter(workplace)
    with _warehouse(workplace) as connection:
        purpose = read_purpose(connection, TABLES)
        pipeline, _ = load_deployed(artifacts_folder(purpose.source), purpose)
        batches = connection.sql(features_query(FEATURES, purpose.schema, ENDS_ON)).to_arrow_reader(
            BATCH_ROWS
        )
        matrix = np.concatenate([pipeline.encoder.encode(batch) for batch in _batches(batches)])
    with threadpool_limits(limits=1, user_api="blas"):
        _, measure = clocked(
            lambda: [
                pipeline.estimator.predict_proba(matrix[start : start + batch_rows])
                for start in range(0, len(matrix), batch_rows)
            ]
        )
    return measure


def _batches(reader: pa.RecordBatchReader) -> list[pa.RecordBatch]:
    return [batch for batch in reader if batch.num_rows]


def _warehouse(workplace: Workplace) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(
        str(workplace.warehouse("scoring")), config={"memory_limit": workplace.memory_limit}
    )


def _enter(workplace: Workplace) -> None:
    """Make a project folder of the workplace: what the real project has deployed stays untouched."""
    (workplace.folder / "dbt_project.yml").touch()
    os.environ["DBT_PROFILES_DIR"] = str(workplace.folder)
